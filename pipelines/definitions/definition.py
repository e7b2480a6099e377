"""One use case as a person writes it: the strict schema of a definition, and how it is read from YAML."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from finflow.models.zoo import model_class
from finflow.pipelines.core.errors import DefinitionError, FinflowError
from finflow.pipelines.core.names import check_identifier, check_name
from finflow.pipelines.core.settings import ByKind, Settings
from finflow.pipelines.features.kinds import CATEGORY, check_features
from finflow.pipelines.problems import PROBLEMS, problem_settings
from finflow.pipelines.problems.base import Problem
from finflow.pipelines.settings.operations import Monitoring, Schedule
from finflow.pipelines.settings.parts import Contract, Feature, Folds, Gate, Recipe, StratifiedFolds, Window
from finflow.pipelines.sinks import sink_settings
from finflow.pipelines.sources import source_settings


def _fold_kind(value: Any) -> str:
    return str(value.get("kind", "time") if isinstance(value, dict) else getattr(value, "kind", "time"))


class Definition(Settings):
    """One use case."""

    name: str = Field(description="lower-case letters, digits, `-` and `_`: what commands, tables, experiments and models of it are called")
    title: str = Field(default="", description="one line for reports and lists")
    description: str = Field(default="", description="what is asked and why, for reports")
    simulated: bool = Field(default=False, description="the data are made up, and every report says so")
    source: Annotated[Any, ByKind("source", source_settings)] = Field(
        description="where rows come from: a `kind` of source, and its settings"
    )
    calendar: str | None = Field(
        default=None,
        description="an exchange_calendars code (XNYS, XSHG, 24/7), or month-start, month-end, quarter-start, quarter-end by how data of "
        "months and quarters are dated; none: the dates of the data",
    )
    publication_lag_minutes: int = Field(
        default=60, ge=0, description="after the session's close (or the end of the day), when a row becomes known"
    )
    tolerance: dict[str, Annotated[float, Field(ge=0, le=0.01)]] = Field(
        default_factory=dict,
        description="a column of numbers to the relative difference that is no restatement; not named: 1e-7 for bars, 0 for tables",
    )
    missing_rows: Literal["keep", "withdraw"] = Field(
        default="keep",
        description="what becomes of rows that the source gave and, though it reaches back to their date, gives no more: kept, with a "
        "warning, or withdrawn from then on",
    )
    maximum_withdrawn: float = Field(
        default=0.75, ge=0, le=1, description="share of the rows that one reading may withdraw; more is refused as a broken delivery"
    )
    moved_from: str | None = Field(
        default=None, description="where the source was before, as the refusal of another source of the same name says it"
    )
    personal: tuple[str, ...] = Field(
        default=(), description="columns of persons (names, numbers, addresses; also `entity`): keyed pseudonyms take their place at once"
    )
    contract: Contract = Field(default=Contract(), description="the rules that a batch must meet before anything reads it")
    features: tuple[Feature, ...] = Field(min_length=1, description="columns that models learn from, each of a row's own past")
    window: Window = Field(default=Window(), description="what a sample holds, and how far its targets reach")
    problem: Annotated[Any, ByKind("problem", problem_settings)] = Field(
        description="what is asked of a model: a `kind` of problem, and its settings"
    )
    folds: Annotated[Annotated[Folds, Tag("time")] | Annotated[StratifiedFolds, Tag("stratified")], Discriminator(_fold_kind)] = Field(
        description="how the dates are split for training, validation and test"
    )
    candidates: dict[str, Recipe] = Field(min_length=1, description="recipes under test: a name of yours to a model with its settings")
    baselines: dict[str, Recipe] = Field(
        min_length=1, description="classical recipes that a candidate must beat, every one of them: a name to a model with its settings"
    )
    reference: str = Field(description="the baseline that stands when there is no champion")
    seed: int = Field(default=0, ge=0, lt=2**31, description="the first seed; further fits count on from it")
    seeds: int = Field(default=2, ge=1, le=100, description="fits of a seeded model; they are averaged into one forecast")
    gate: Gate = Field(default=Gate(), description="the rule that turns evaluations into a decision")
    schedule: Schedule = Field(default=Schedule(), description="when servers run train, score and monitor")
    monitoring: Monitoring = Field(default=Monitoring(), description="what `finflow monitor` watches, and from where on it speaks")
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
        try:
            check_features(self.features)
        except FinflowError as error:
            raise ValueError(str(error)) from None

    def _check_personal(self) -> None:
        keys = {"time", "known_at", *problem_of(self).required} & set(self.personal)
        numbers = {feature.column for feature in self.features if feature.kind != CATEGORY} & set(self.personal)
        for names, why in ((keys, "is a time, or read by the problem"), (numbers, "is made a number of by a feature")):
            if names:
                raise ValueError(f"personal: {', '.join(sorted(map(str, names)))} {why}, and a pseudonym tells nothing of its value")

    def _check_recipes(self) -> None:
        for name, recipe in self.recipes.items():
            place = f"{'candidates' if name in self.candidates else 'baselines'}.{name}"
            try:
                model_class(recipe.model).Settings.model_validate(recipe.settings)
            except KeyError as error:
                raise ValueError(f"{place}.model: {error.args[0]}") from None
            except ValidationError as error:
                raise ValueError(f"{place}.settings: {explain(error)}") from None

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
        where = f"{'.'.join(place)}: " if place else ""  # what is told of the whole names its own place
        lines.append(f"{where}{fault['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines)


def parse_definition(values: dict[str, Any], origin: str = "definition") -> Definition:
    """Check a mapping against the schema.

    Raises:
        DefinitionError: with every fault and its place.
    """
    try:
        return Definition.model_validate(values)
    except ValidationError as error:
        raise DefinitionError(f"{origin}: {explain(error).rstrip('.')}. `finflow schema` prints what is allowed.") from None


def problem_of(definition: Definition) -> Problem:
    """The definition's problem, bound to its settings and window."""
    return PROBLEMS[definition.problem.kind](definition.problem, definition.window)
