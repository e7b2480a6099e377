"""One use case as a person writes it: the strict schema of a definition, and how it is read from YAML."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from pipelines.digest import digest_json
from pipelines.errors import DefinitionError, FinflowError
from pipelines.names import check_identifier, check_name
from pipelines.operations import Monitoring, Schedule
from pipelines.problems import problem_settings
from pipelines.redaction import hide_in_logs
from pipelines.registered import ByKind, Settings
from pipelines.sinks import sink_settings
from pipelines.sources import source_settings

DEFINITIONS = Path(__file__).parent / "definitions"
MAXIMUM_BYTES = 1_000_000


class Contract(Settings):
    """The rules a batch must meet, and how they are tuned.

    `kind` names a suite in expectations/; `severity` overrides a rule's own severity by its name.
    """

    kind: Literal["bars", "table"] = "bars"
    minimum_history: int = Field(
        default=250, ge=1, description="sessions needed: critical where no entity has them; one that is short among others is a warning"
    )
    maximum_gap: int = Field(default=5, ge=0, description="sessions of the calendar that may be missing in a row; more is a warning")
    stale_days: int = Field(default=10, ge=2, description="equal closes in a row, with no suspension, that make a price stale")
    jump: float = Field(default=0.6, gt=0, description="absolute one-session log return that looks like a split or a change of unit")
    price_limit: float | None = Field(
        default=None,
        gt=0,
        description="daily limit of the market (0.10 in Shanghai): a move half as much again is a jump, a limit day is none",
    )
    allow_negative: bool = Field(default=False, description="prices may be negative (WTI in April 2020)")
    future_days: int = Field(default=0, ge=0, description="days after now that a date may lie")
    maximum_quarantined: float = Field(
        default=0.05, ge=0, le=1, description="share of the rows that quarantine may take (five rows always); more is critical"
    )
    severity: dict[str, Literal["critical", "row", "warning", "off"]] = Field(default_factory=dict)


class Feature(Settings):
    """One feature column. `kind` is a function in pipelines/features.py.

    `shift` moves it by sessions: 1 is yesterday's value; a negative shift reads the future, and `check-leakage` names it.
    """

    kind: str
    name: str | None = None
    column: str | None = Field(default=None, description="the clean column it is made of, where the kind needs one")
    window: int | None = Field(default=None, ge=1, le=2000, description="sessions, for rolling features")
    shift: int = Field(default=0, ge=-250, le=250)
    key: str | Annotated[tuple[str, ...], Field(min_length=1, max_length=5)] | None = Field(
        default=None,
        description="for features of earlier rows: the clean column (or columns, together) whose equal rows count (customer, terminal); "
        "none: the entity",
    )
    days: int | None = Field(default=None, ge=1, le=36_500, description="how long before a row earlier rows count; none: all of them")
    delay_days: int | None = Field(
        default=None, ge=0, le=36_500, description="days after its row before which no outcome counts as known, whatever the problem says"
    )

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns whose equal rows count."""
        return (self.key,) if isinstance(self.key, str) else self.key or ("entity",)

    @property
    def label(self) -> str:
        """The feature's column name."""
        if self.name:
            return self.name
        parts = [self.kind, self.column, str(self.window) if self.window else None, f"shift{self.shift}" if self.shift else None]
        parts[2:2] = [
            *(self.key_columns if self.key else ()),
            f"{self.days}d" if self.days else None,
            f"after{self.delay_days}d" if self.delay_days else None,
        ]
        return "_".join(part for part in parts if part)


class Window(Settings):
    """How many observations a sample holds, and how many steps ahead its targets reach."""

    length: int = Field(default=60, ge=1, le=5000)
    horizon: int = Field(default=5, ge=1, le=250)
    maximum_gap: int = Field(default=5, ge=0, description="sessions that may be missing inside a window; a longer gap forbids it")


class Folds(Settings):
    """Walk-forward splits, anchored to the calendar: test periods of `months` from `first_test` on, as many as have ended or begun."""

    kind: Literal["time"] = "time"
    first_test: datetime.date
    months: int = Field(default=12, ge=1, le=120, description="length of a test period")
    validation_months: int = Field(default=12, ge=1, le=120, description="the last part of training, for early stopping")
    embargo: int = Field(default=0, ge=0, le=500, description="sessions left out after a label span, beside the purge")
    minimum_test: int = Field(default=20, ge=1, description="test dates a period needs to count; the newest may be incomplete")
    count: int | None = Field(default=None, ge=1, description="only the last so many test periods")


class StratifiedFolds(Settings):
    """Splits of rows that have no time: each part is tested once a repeat, with as many rows of each class as the others have.

    All rows of an entity are in one part. The report says that nothing here is walk-forward.
    """

    kind: Literal["stratified"] = "stratified"
    parts: int = Field(default=5, ge=2, le=50, description="of a repeat; each is the test part of one fold")
    repeats: int = Field(default=1, ge=1, le=50, description="times that the rows are dealt out anew")
    validation: float = Field(default=0.2, gt=0, le=0.5, description="part of the rows beside the test part, for early stopping and such")

    @property
    def embargo(self) -> int:
        """None: there is no time."""
        return 0


def _fold_kind(value: Any) -> str:
    return str(value.get("kind", "time") if isinstance(value, dict) else getattr(value, "kind", "time"))


class Recipe(Settings):
    """A model of the zoo with its settings: what can be fitted again."""

    model: str
    settings: dict[str, Any] = Field(default_factory=dict)

    @property
    def digest(self) -> str:
        return digest_json({"model": self.model, "settings": self.settings})


class Gate(Settings):
    """The rule that turns evaluations into a decision."""

    loss: str = Field(default="crps", description="the problem's loss that decides")
    level: float = Field(default=0.05, gt=0, lt=0.5, description="family-wise error over the definition's life")
    minimum_effect: float = Field(default=0.005, ge=0, lt=1, description="relative reduction of the loss that is worth a change")
    new_dates: int = Field(default=60, ge=1, description="test dates that must be new since the last decided challenge")
    minimum_dates: int = Field(default=250, ge=20, description="test dates below which nothing is decided for a candidate")
    refresh_dates: int = Field(
        default=20, ge=1, description="test dates that must be new before the champion's recipe is fitted again and replaces it"
    )
    backtests: tuple[str, ...] = Field(
        default=(), description="the problem's checks over all test dates; who fails one is not promoted, and the champion is demoted"
    )
    backtest_level: float = Field(default=0.01, gt=0, lt=0.5, description="of each backtest that has a p-value")
    approval: Literal["none", "required"] = Field(
        default="none", description="required: an accepted version waits as `pending` until a person approves it"
    )
    four_eyes: bool = Field(default=False, description="two different people must approve")

    @model_validator(mode="after")
    def _eyes(self) -> Gate:
        if self.four_eyes and self.approval != "required":
            raise ValueError("four_eyes asks for two approvals where none is required: set `approval: required` too")
        return self


class Definition(Settings):
    """One use case."""

    name: str
    title: str = ""
    description: str = ""
    simulated: bool = Field(default=False, description="the data are made up, and every report says so")
    source: Annotated[Any, ByKind("source", source_settings)]
    calendar: str | None = Field(
        default=None,
        description="an exchange_calendars code (XNYS, XSHG, 24/7), or month-start, month-end, quarter-start, quarter-end by how data of "
        "months and quarters are dated; none: the dates of the data",
    )
    publication_lag_minutes: int = Field(
        default=60, ge=0, description="after the session's close (or the end of the day), when a row becomes known"
    )
    personal: tuple[str, ...] = Field(
        default=(), description="columns of persons (names, numbers, addresses; also `entity`): keyed pseudonyms take their place at once"
    )
    contract: Contract = Contract()
    features: tuple[Feature, ...] = Field(min_length=1)
    window: Window = Window()
    problem: Annotated[Any, ByKind("problem", problem_settings)]
    folds: Annotated[Annotated[Folds, Tag("time")] | Annotated[StratifiedFolds, Tag("stratified")], Discriminator(_fold_kind)]
    candidates: dict[str, Recipe] = Field(min_length=1)
    baselines: dict[str, Recipe] = Field(min_length=1)
    reference: str = Field(description="the baseline that stands when there is no champion")
    seed: int = Field(default=0, ge=0, lt=2**31)
    seeds: int = Field(default=2, ge=1, le=100, description="fits of a seeded model; they are averaged into one forecast")
    gate: Gate = Gate()
    schedule: Schedule = Schedule()
    monitoring: Monitoring = Monitoring()
    sink: Annotated[Any, ByKind("sink", sink_settings)] | None = Field(default=None, description="where scores go beside the lake")

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return _as_value_error(check_identifier, value, "definition name")

    @model_validator(mode="after")
    def _consistent(self) -> Definition:
        labels = [feature.label for feature in self.features]
        twice = sorted(label for label, count in Counter(labels).items() if count > 1)
        if twice:
            raise ValueError(f"features {twice} appear twice: give one of them another `name`")
        for label in labels:
            _as_value_error(check_name, label, "feature name")
        for name in (*self.candidates, *self.baselines):
            _as_value_error(check_identifier, name, "candidate name")
        both = sorted(set(self.candidates) & set(self.baselines))
        if both:
            raise ValueError(f"{both} are named as candidate and as baseline: one name, one recipe")
        if self.reference not in self.baselines:
            raise ValueError(f"reference {self.reference!r} is not among the baselines {sorted(self.baselines)}")
        self._check_features()
        self._check_personal()
        self._check_recipes()
        self._check_problem()
        return self

    def _check_problem(self) -> None:
        from pipelines.problems import problem_of

        try:
            problem = problem_of(self)
            columns = tuple(name for feature in self.features for name in (feature.column, *feature.key_columns) if name)
            problem.check_features(columns, tuple(feature.label for feature in self.features))
            if self.source.offered is not None:
                problem.check_columns(self.source.offered)
            offered = problem.backtests
        except FinflowError as error:
            raise ValueError(str(error)) from None
        if problem.admits_missing and self.window.length != 1:
            raise ValueError(f"window.length {self.window.length}: a sample of the problem {self.problem.kind!r} is one row; set it to 1")
        unknown = [name for name in self.gate.backtests if name not in offered]
        if unknown:
            there = f"there are {', '.join(offered)}" if offered else "it has none"
            raise ValueError(f"gate.backtests {unknown} are no checks of the problem {self.problem.kind!r}: {there}")

    def _check_features(self) -> None:
        from pipelines.features import check_features

        try:
            check_features(self)
        except FinflowError as error:
            raise ValueError(str(error)) from None

    def _check_personal(self) -> None:
        from pipelines.features import CATEGORY
        from pipelines.problems import problem_of

        keys = {"time", "known_at", *problem_of(self).required} & set(self.personal)
        numbers = {feature.column for feature in self.features if feature.kind != CATEGORY} & set(self.personal)
        for names, why in ((keys, "is a time, or read by the problem"), (numbers, "is made a number of by a feature")):
            if names:
                raise ValueError(f"personal: {', '.join(sorted(map(str, names)))} {why}, and a pseudonym tells nothing of its value")

    def _check_recipes(self) -> None:
        from models.zoo import model_class

        for name, recipe in self.recipes.items():
            try:
                model_class(recipe.model).Settings.model_validate(recipe.settings)
            except KeyError as error:
                raise ValueError(f"{name}: {error.args[0]}") from None
            except ValidationError as error:
                raise ValueError(f"{name}.settings: {explain(error)}") from None

    @property
    def recipes(self) -> dict[str, Recipe]:
        """Candidates and baselines, in the order of the definition."""
        return {**self.candidates, **self.baselines}


def _as_value_error(check: Any, value: str, what: str) -> str:
    try:
        return str(check(value, what))
    except FinflowError as error:
        raise ValueError(str(error)) from None


def explain(error: ValidationError) -> str:
    """One line a fault: where, what was expected."""
    lines = []
    for fault in error.errors():
        place = [str(part) for part in fault["loc"]]
        if place[:1] == ["folds"] and len(place) > 2:
            del place[1]  # the kind, which nobody wrote as a key
        where = ".".join(place) or "definition"
        lines.append(f"{where}: {fault['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines)


#: in C where PyYAML has it: a definition of ten thousand columns is read in seconds then, not in half a minute
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_SafeLoader):  # type: ignore[misc]
    """YAML without a key given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (dict, list)):
                raise DefinitionError(f"line {key_node.start_mark.line + 1}: a key must be text.")
            if key in seen:
                raise DefinitionError(f"line {key_node.start_mark.line + 1}: key {key!r} is given twice.")
            seen.add(key)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def _refuse_aliases(text: str) -> None:
    """Before anything is made of the text: aliases can blow up."""
    for event in yaml.parse(text, Loader=_SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise DefinitionError(
                f"line {event.start_mark.line + 1}: aliases (*name) are not allowed in a definition; write the value out."
            )


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        DefinitionError: not readable, not YAML, too large, with tags or aliases, or not a mapping.
    """
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise DefinitionError(f"{path}: larger than {MAXIMUM_BYTES:,} bytes; a definition is a page or two.")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DefinitionError(f"{path}: there is no such file.") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DefinitionError(f"{str(path)!a}: cannot be read as UTF-8 text ({error}).") from None
    try:
        _refuse_aliases(text)
        values = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader, made stricter
    except DefinitionError as error:
        raise DefinitionError(f"{path}: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DefinitionError(f"{path}: not plain YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise DefinitionError(f"{path}: expected a mapping with name, source, features, problem, folds, candidates, baselines, reference.")
    return values


def parse_definition(values: dict[str, Any], origin: str = "definition") -> Definition:
    """Check a mapping against the schema.

    Raises:
        DefinitionError: with every fault and its place.
    """
    try:
        return Definition.model_validate(values)
    except ValidationError as error:
        raise DefinitionError(f"{origin}: {explain(error)}. `finflow schema` prints what is allowed.") from None


def definition_path(name: str) -> Path:
    """The file behind NAME: a shipped definition's name, a path to a YAML file, or the name of one that this home has met by its path.

    Raises:
        DefinitionError: neither.
    """
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    try:
        check_identifier(name, "definition name")
    except FinflowError as error:
        raise DefinitionError(f"{error} NAME is a definition's name or a path ending in .yaml.") from None
    path = DEFINITIONS / f"{name}.yaml"
    if not path.is_file():
        from pipelines.known_definitions import known_path

        met = known_path(name)
        if met is not None:
            return met
        known = ", ".join(sorted(found.stem for found in DEFINITIONS.glob("*.yaml")))
        raise DefinitionError(f"no definition {name!r}: there are {known}; or give a path ending in .yaml.")
    return path


def load_definition(name: str) -> Definition:
    """The definition called `name`, or in the YAML file of that path. Relative paths in its source and sink are relative to the file.

    Raises:
        DefinitionError: see `read_yaml` and `parse_definition`.
    """
    hide_in_logs()  # its addresses may hold secrets, and a worker runs flows without our command line
    path = definition_path(name)
    definition = parse_definition(read_yaml(path), str(path))
    folder = path.resolve().parent
    sink = None if definition.sink is None else definition.sink.resolved(folder)
    return definition.model_copy(update={"source": definition.source.resolved(folder), "sink": sink})
