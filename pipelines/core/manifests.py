"""What stages hand to each other: small JSON-able records that point at tables and folders. Never frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from finflow.models.base import Hardware
from finflow.pipelines.core.sight import Sight


class JsonRecord:
    """Base: a record that turns into plain JSON values."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True)
class MissingRows(JsonRecord):
    """What the lake holds and the source did not give.

    Attributes:
        rows: entities and times from the source's first date on, of `held` that the lake holds from there on.
        earlier: those before that date.
        entities, named: how many entities are not in the source any more, and the first of them.
        withdrawn: how many of `rows` were withdrawn by this reading.
        text: all of it, for a person.
    """

    rows: int
    earlier: int
    held: int
    named: tuple[str, ...]
    entities: int
    withdrawn: int
    text: str


@dataclass(frozen=True)
class RawManifest(JsonRecord):
    """What ingest left: `added` new row revisions (0: nothing was written) in `table` at `version`, which has `rows` of them.

    `read` is the number of rows that the source gave (0: it was not read); `missing` what it did not give of what it gave before.
    """

    table: str
    version: int
    added: int
    rows: int
    first_time: str
    last_time: str
    read: int = 0
    missing: MissingRows | None = None


@dataclass(frozen=True)
class RuleResult(JsonRecord):
    """One rule of the contract over one batch."""

    rule: str
    severity: str  # critical | row | warning
    passed: bool
    unexpected: int
    detail: str


@dataclass(frozen=True)
class CleanManifest(JsonRecord):
    """The batch that met its contract, as known at `as_of` (ISO instant, UTC): read it back with `knowledge.read_as_of`.

    `digest` is of the rows of that view. `folder` holds the Data Docs page, the suite and the result.
    """

    table: str
    version: int
    as_of: str
    digest: str
    rows: int
    entities: int
    quarantined: int
    rules: tuple[RuleResult, ...]
    folder: str
    raw: RawManifest


@dataclass(frozen=True)
class SampleManifest(JsonRecord):
    """Observations and sample index on disk, as views of the clean batch."""

    folder: str
    digest: str
    observations: int
    samples: int
    labelled: int
    columns: tuple[str, ...]
    task: dict[str, Any]
    clean: CleanManifest


@dataclass(frozen=True)
class Dealt(JsonRecord):
    """A stratified split: the rows are dealt out to so many parts, and one of them is tested.

    Attributes:
        part: the test part, from 0; -1: none.
        repeat: how often the rows were dealt out before.
        validation: part of the rows beside the test part.
    """

    parts: int
    part: int
    repeat: int
    seed: int
    validation: float


@dataclass(frozen=True)
class Fold(JsonRecord):
    """One walk-forward split by ISO dates: test samples have test_start <= time <= test_end.

    A fold named `production` has no test part; it is fitted on all that is known at the as-of.

    Attributes:
        stratified: of rows without a time, where the dates are empty: how they are dealt out.
    """

    name: str
    validation_start: str
    test_start: str
    test_end: str
    stratified: Dealt | None = None


def fold_from(values: Mapping[str, Any]) -> Fold:
    """The fold that `Fold.to_dict` wrote."""
    dealt = values.get("stratified")
    return Fold(**{**values, "stratified": None if dealt is None else Dealt(**dealt)})


@dataclass(frozen=True)
class FitSpec(JsonRecord):
    """A fit as a job. `key` names its folder; it depends on content, not on names, times or places."""

    key: str
    definition: str
    candidate: str
    model: str
    settings: dict[str, Any]
    fold: Fold
    embargo: int
    seed: int
    hardware: Hardware
    samples: str  # folder of the SampleManifest
    task: dict[str, Any]
    rows_digest: str


@dataclass(frozen=True)
class FitResult(JsonRecord):
    """A finished fit. `reused` says that nothing was fitted. `seconds` is the fit's own wall time when it was done."""

    key: str
    candidate: str
    fold: str
    seed: int
    folder: str
    reused: bool
    seconds: float


@dataclass(frozen=True)
class PredictionResult(JsonRecord):
    """The predictions of one fit for its fold's test samples: `folder` holds values.npy, in the order of `select(split, ...).test`.

    The folder is named by content and outlives the run; where the test samples stand in this run's `samples` follows from
    `split` and `embargo`. Read it with `fits.read_predictions`.
    """

    fit: FitResult
    folder: str
    reused: bool
    samples: str
    split: Fold
    embargo: int


@dataclass(frozen=True)
class Metric(JsonRecord):
    """A number with its interval (level 0.95, block bootstrap over dates). None where it cannot be had."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    better: str  # lower | higher | target
    target: float | None = None


@dataclass(frozen=True)
class Comparison(JsonRecord):
    """One candidate against one baseline, on one loss a date.

    Attributes:
        effect: the relative reduction of the loss (positive: better); of a logarithmic loss, whose level means nothing, the reduction.
        best_dates_share: the part of the effect that the five dates with the largest advantage make (above 1: without them it would be
            worse); None where there is no advantage.
        effect_without_best: the effect on the other dates; None where it has no meaning.
    """

    against: str
    effect: float | None
    statistic: float | None
    p_value: float | None
    dates: int
    best_dates_share: float | None = None
    effect_without_best: float | None = None


@dataclass(frozen=True)
class Check(JsonRecord):
    """Something that a model must pass whatever its loss is (a backtest); the gate sees only whether it did, and the words.

    Attributes:
        figures: its numbers, for the log.
        severity: orders failures of one check; nothing else.
    """

    name: str
    passed: bool
    words: str
    figures: dict[str, float] = field(default_factory=dict)
    severity: float = 0.0


@dataclass(frozen=True)
class CandidateEvaluation(JsonRecord):
    """The metrics of one candidate over all folds."""

    candidate: str
    family: str
    model: str
    baseline: bool
    recipe: dict[str, Any]
    recipe_digest: str
    seeds: int
    metrics: tuple[Metric, ...]
    fold_losses: dict[str, float]
    seed_losses: dict[str, float]  # the deciding loss of each seed alone, by seed
    comparisons: tuple[Comparison, ...]
    invalid: str | None = None  # why it is not promotable (a NaN metric, say)
    must_beat: tuple[
        str, ...
    ] = ()  # a challenger's benchmarks; empty for what does not compete (see finflow.pipelines.evaluation.comparisons)
    adjusted_p: float | None = None  # of "it fails to beat one of them", corrected over challengers of its kind
    #: of the model confidence set (Hansen, Lunde and Nason 2011): above 0.05 it cannot be told from the best. None if invalid. For reading;
    #: it decides nothing.
    confidence_p: float | None = None
    checks: tuple[Check, ...] = ()  # those of the problem that the definition's gate names; who fails one is not promoted

    @property
    def failed_checks(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    @property
    def closest(self) -> Comparison | None:
        """Of those that it must beat the one that it comes nearest to losing to; None where it does not compete, or one says nothing."""
        rivals = [(one.statistic, one) for one in self.comparisons if one.against in self.must_beat]
        known = [(statistic, one) for statistic, one in rivals if statistic is not None]
        return max(known, key=lambda pair: pair[0])[1] if known and len(known) == len(rivals) else None


@dataclass(frozen=True)
class Evaluation(JsonRecord):
    """The leaderboard: best deciding loss first. `folder` holds losses.parquet, and predictions/<candidate>.parquet fold by fold."""

    run_key: str
    definition: str
    as_of: str
    loss: str
    dates: int
    first_date: str
    last_date: str
    folds: tuple[Fold, ...]
    candidates: tuple[CandidateEvaluation, ...]
    superior: tuple[str, ...]  # candidates that beat every baseline after stepwise correction at the level spent
    folder: str
    protocol: str  # one sentence: data, split, losses, seeds, tests
    reference: str = ""
    horizon: int = 1  # dates that a label spans
    champion: str | None = None  # the entry among `candidates` that is the champion's recipe; the comparisons were made against it
    #: of "no candidate is better than the reference" (Hansen 2005); None without a valid candidate. For reading; it decides nothing.
    spa_p: float | None = None
    replications: int = 4_999  # bootstrap draws of the corrected p-values
    looks_before: int = 0  # looks at these data before this one (see finflow.pipelines.lake.looks)
    decided_after: str | None = None  # ISO date: comparisons are of the test dates after it, unseen till then; None: of all that are shown
    sealed: int = 0  # test dates that nobody has looked at, and that are shown nowhere until they are enough for a challenge
    sight: Sight | None = None  # None: nobody looked before

    @property
    def units(self) -> str:
        """What one loss each was compared on, in words."""
        if any(fold.stratified is not None for fold in self.folds):
            return f"{self.dates:,} entities, in stratified splits without a time"
        return f"{self.dates:,} test dates ({self.first_date} to {self.last_date})"

    @property
    def decided_units(self) -> str:
        """What a challenge was decided on, in words: `units`, or those of them that nobody had looked at."""
        if self.sight is None or not self.looks_before:
            return self.units
        return self.sight.decided_units(stratified=any(fold.stratified is not None for fold in self.folds))


@dataclass(frozen=True)
class Decision(JsonRecord):
    """What the gate decided, in words a person can read.

    verdict: promoted | reference | refreshed | kept | demoted | historical | rolled-back | refused (there is no champion, and nobody passes
    the checks), and of a version that a person decides about: pending | first-approval | approved | rejected; and
    head-accepted (a person's word that the record stands, see `finflow.pipelines.operating.verification.acceptance`).
    `promoted` is true when the live alias moves to a new version.
    """

    verdict: str
    promoted: bool
    candidate: str  # who is champion after this decision; of a version that a person decides about: that version's
    reason: str
    level: float  # the level spent on this challenge
    challenge: int  # its number in the definition's life; 0: no challenge was decided
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Champion(JsonRecord):
    """The model in use."""

    name: str
    version: int
    candidate: str
    effective_as_of: str
    recorded_at: str
    run_key: str
    manifest_digest: str
