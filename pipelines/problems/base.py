"""What a kind of problem says: how targets are built, what is asked of a model, which losses and metrics belong to it.

The gate and everything after it see only what is here: sample index, losses, metrics, prediction rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from finflow.models.answers import ANSWERS
from finflow.models.base import Prediction, Task
from finflow.models.samples import SampleIndex, Samples
from finflow.pipelines.core.settings import Settings
from finflow.pipelines.features.panel import Outcomes
from finflow.pipelines.problems.answers import about_nothing, read_back
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts

if TYPE_CHECKING:
    import pandas as pd

    from finflow.pipelines.core.manifests import Check, Evaluation, Fold
    from finflow.pipelines.problems.plots import Plot
    from finflow.pipelines.settings.parts import Gate, Window
    from finflow.pipelines.statistics.bootstrap import Resampling


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of every clean row, in the rows' order; a row whose target is not known yet has NaN and NaT.

    Attributes:
        values: float32, [rows, outputs].
        label_start, label_end: datetime64[ns], [rows].
        target_time: datetime64[ns], [rows, outputs]; the date each output is about, known even where the value is not.
        origin: float64, [rows].
    """

    values: NDArray[np.float32]
    label_start: NDArray[np.datetime64]
    label_end: NDArray[np.datetime64]
    target_time: NDArray[np.datetime64]
    origin: Float64


@dataclass(frozen=True, eq=False)
class Tested:
    """What an evaluation knows, for tables of a problem's own.

    Attributes:
        forecasts: by candidate, of the test samples; those that cannot be compared are left out.
        index: the n test samples, fold after fold.
        fold: int64, [n]; which of `folds` each belongs to.
        train: by fold, its training samples.
        samples: all samples of the run.
        features, categories: names of the features that are numbers and of those that are categories (see `Task`).
        draws: resampled dates of the test samples.
        champion: the name of the champion's recipe among the forecasts, or None.
    """

    forecasts: Mapping[str, Prediction]
    index: SampleIndex
    fold: NDArray[np.int64]
    folds: tuple[Fold, ...]
    train: Sequence[SampleIndex]
    samples: Samples
    features: tuple[str, ...]
    categories: tuple[str, ...]
    draws: Resampling
    reference: str
    champion: str | None


class Problem(ABC):
    """One kind of problem, bound to its settings and the window of a definition."""

    Settings: ClassVar[type[Settings]]
    #: checks that a definition's gate may name
    backtests: ClassVar[tuple[str, ...]] = ()
    #: names of settings that say how answers are tested and shown, not what is asked of a model: it is none the worse where they change
    beside: ClassVar[frozenset[str]] = frozenset()
    #: whether labels of different samples are of different things (applicants), however long their spans: nothing overlaps then, and what
    #: they share (a recession) shows as autocorrelation of a date's losses, which the tests allow for
    independent: ClassVar[bool] = False
    #: whether a feature may be missing in a sample (NaN); else such a sample is none
    admits_missing: ClassVar[bool] = False
    #: what targets say of `watched`: its level, its spread, its paths, or an outcome. A look at test outcomes is one for all problems that
    #: say the same of the same data (see `finflow.pipelines.lake.looks`).
    says: ClassVar[str] = "level"
    #: names of `metrics` that the report's leaderboard shows beside the deciding loss, in this order, where a candidate has them
    shown: ClassVar[tuple[str, ...]] = ()

    #: observations of an entity before a row that `observe` reads
    reach: ClassVar[int] = 1

    def __init__(self, settings: Any, window: Window) -> None:
        self.settings = settings
        self.window = window

    @property
    @abstractmethod
    def required(self) -> tuple[str, ...]:
        """Clean columns that the problem reads."""

    @property
    def watched(self) -> str:
        """The clean column that targets are made of: by default the first of `required`."""
        return self.required[0]

    def behind(self, entity: str) -> tuple[str, ...]:
        """The entities of the clean rows whose outcomes a sample of `entity` shows: itself, but for what `arrange` makes of several."""
        return (entity,)

    @property
    def numbers(self) -> tuple[str, ...]:
        """Those of `required` that must hold numbers: all by default."""
        return self.required

    @property
    def outcome_values(self) -> tuple[str, tuple[str, ...]] | None:
        """The clean column of an outcome of two classes, and its values (as texts) that mean the last one; None where there is none."""
        return None

    @property
    def plots(self) -> tuple[Plot, ...]:
        """The pictures of a training's report beside those that every problem has (leaderboard, skill, loss curves); none by default."""
        return ()

    @property
    def reasons(self) -> int | None:
        """How many of the features that moved a score most are written beside it, in a column `reasons`; None: there is no such column."""
        return None

    def check_features(self, columns: tuple[str, ...], labels: tuple[str, ...]) -> None:
        """Refuse features made of clean columns that no model of this problem may read, by default none; and settings that name others.

        Args:
            columns: the clean columns that features are made of.
            labels: the features' names.

        Raises:
            DefinitionError: naming the columns, or the features.
        """
        return

    def check_columns(self, columns: Sequence[str]) -> None:
        """Refuse settings that name, beside `required`, columns that the source does not give; by default there are none.

        Raises:
            DefinitionError: naming them, and what there is.
        """
        return

    def arrange(self, clean: pd.DataFrame) -> pd.DataFrame:
        """The rows that samples are cut from: the clean ones by default, or others made of them (one entity of several, a portfolio).

        A row may be made of clean rows of its own date and of earlier ones. `clean` is sorted by entity and time with index 0..n-1, and so
        must be what comes out; features, `observe` and `targets` see that.
        """
        return clean

    def observe(self, clean: pd.DataFrame) -> pd.DataFrame:
        """Columns beside the features that models of this problem need (increment, level); float64, the rows of `clean`. None by default.

        `clean` holds whole entities, sorted by entity and time, and a column `__segment` (int64) that changes with the entity and at every
        gap that the definition forbids: no change is to be taken across it. Only the past may be read.
        """
        return clean[[]]

    def outcomes(self, clean: pd.DataFrame) -> Outcomes | None:
        """What came of each row of `clean` and when that became known, for features of earlier rows; None, the default, where nothing does.

        A row's own outcome may be in it: features count it from the instant at which it was known, for later rows alone.
        """
        return None

    def forget(self, clean: pd.DataFrame, date: np.datetime64) -> pd.DataFrame:
        """The same rows without the outcomes that became known after a date; the rows themselves by default."""
        return clean

    def groups(self, clean: pd.DataFrame) -> dict[str, NDArray[np.str_]]:
        """By name, what each row of `clean` belongs to for reports (`SampleIndex.groups`): text [rows]; none by default."""
        return {}

    @abstractmethod
    def targets(self, clean: pd.DataFrame, calendar: str | None) -> Targets:
        """Targets of every row of `clean` (sorted by entity and time, index 0..n-1, with `__segment` as in `observe`).

        A label whose span crosses a forbidden gap, or that ends after the as-of, is taken out afterwards.
        """

    @abstractmethod
    def task(self, columns: tuple[str, ...], features: tuple[str, ...]) -> Task:
        """What is asked of a model whose observations have these columns."""

    @abstractmethod
    def losses(self, prediction: Prediction, index: SampleIndex) -> Mapping[str, Float64]:
        """Every loss a gate may name: float64, [n], one a sample, lower is better."""

    @property
    def loss_names(self) -> tuple[str, ...]:
        """The names of `losses`, which is asked about no sample at all."""
        return tuple(self.losses(*about_nothing(self.task((), ()))))

    def logarithmic(self, loss: str) -> bool:
        """Whether a loss is one of whose level nothing can be said (a logarithmic score): then differences are compared, not ratios."""
        return False

    def checks(self, prediction: Prediction, index: SampleIndex, gate: Gate, seed: int) -> tuple[Check, ...]:
        """What a model must pass to be promoted, whatever its loss is, over all test dates; none by default.

        Args:
            prediction: of the test samples of all folds.
            gate: its `backtests` are those wanted, all of them among `backtests` above.
        """
        return ()

    @abstractmethod
    def metrics(self, prediction: Prediction, index: SampleIndex, scale: Float64) -> list[MetricParts]:
        """What the leaderboard shows.

        Args:
            scale: float64, [n]; each sample's scale from its fold's training part, for scaled errors (see `scale_of`).
        """

    def memory(
        self, prediction: Prediction, index: SampleIndex, fold: NDArray[np.int64], train: Sequence[SampleIndex]
    ) -> list[MetricParts]:
        """Metrics of how far answers repeat what their own fold was fitted on, beside `metrics`; none by default.

        Args:
            prediction: of the test samples of all folds, `index`.
            fold: int64, [n]; which of `train` each was predicted after.
            train: by fold, its training samples.
        """
        return []

    def tables(self, tested: Tested) -> Mapping[str, pd.DataFrame]:
        """Further tables of an evaluation, by name; none by default. They are kept beside it as tables/<name>.parquet and .csv."""
        return {}

    def sections(self, tables: Mapping[str, pd.DataFrame], evaluation: Evaluation) -> list[str]:
        """What the report says of `tables`, as lines of Markdown."""
        return []

    def coverages(self, prediction: Prediction, index: SampleIndex) -> list[MetricParts]:
        """Those of `metrics` that say how often what came lay where it should, one component each: what monitoring watches."""
        found = self.metrics(prediction, index, np.ones(len(index)))
        aimed = [parts for parts in found if parts.better == "target" and parts.target is not None and not parts.pooled]
        return [parts for parts in aimed if len(parts.components) == 1]

    @abstractmethod
    def scale_of(self, train: SampleIndex) -> Mapping[int, float]:
        """By entity code, the scale that a scaled error divides by, from training samples alone (1.0 where it has no meaning).

        Look it up with `[code]`: the mapping may have an answer for entities that the training part does not hold.
        """

    @abstractmethod
    def rows(self, prediction: Prediction, index: SampleIndex, entities: tuple[str, ...]) -> pd.DataFrame:
        """Prediction rows: `entity`, `time` (as-of date), `target_time`, `horizon` (int, from 1), then value columns (float64):
        a column a quantile level (`q05`, `q50` ...), a class or a score; the same columns for every model of a definition."""

    def answers(self, rows: pd.DataFrame, index: SampleIndex, entities: tuple[str, ...]) -> Prediction:
        """What `rows` laid out for these samples, read back: its inverse. Stored predictions are tested by it once their targets are known.

        This one serves a problem whose `rows` only lays the answers out; one that changes their scale needs its own.

        Args:
            rows: of these samples, in any order; further columns do no harm.

        Raises:
            FinflowError: a sample has no row, a value column is missing, or the answers cannot be read back.
        """
        return read_back(self, rows, index, entities)

    def signals(self, prediction: Prediction) -> Mapping[str, Float64]:
        """What a prediction says, as numbers whose distribution can be watched: float64, [n], one a sample.

        Of quantiles `median` and `width` (of the widest central interval) at the last output, of probabilities each class but the first,
        of scores their mean `score`, of variances `log_variance` of the first output, of paths `mean` and `deviation` at the last output.
        """
        return ANSWERS[prediction.kind].signals(prediction, self.task((), ()).classes)
