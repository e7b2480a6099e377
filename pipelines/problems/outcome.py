"""Outcome: which of two classes a row turns out to be (a default, a fraud, a sale), known only later, with the costs of being wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from finflow.models.base import Prediction
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.category_texts import distinct_texts
from finflow.pipelines.core.errors import DefinitionError, FinflowError
from finflow.pipelines.core.names import check_identifier
from finflow.pipelines.core.settings import Settings
from finflow.pipelines.features.panel import Outcomes
from finflow.pipelines.lake.as_of import CORRECTED
from finflow.pipelines.problems.answers import ordered_values
from finflow.pipelines.problems.base import Targets, Tested
from finflow.pipelines.problems.class_scores import probabilities_of
from finflow.pipelines.problems.of_classes import OfClasses, codes_of
from finflow.pipelines.problems.outcome_fairness import Limit, fairness_checks, group_figures
from finflow.pipelines.problems.outcome_scores import cost_threshold, outcome_losses, outcome_metrics
from finflow.pipelines.problems.outcome_sections import outcome_sections
from finflow.pipelines.problems.outcome_shown import METRICS, PLOTS
from finflow.pipelines.problems.outcome_stability import stability_table
from finflow.pipelines.problems.outcome_tables import decided_of, difference_table, fairness_table, period_table
from finflow.pipelines.problems.plots import Plot
from finflow.pipelines.sources.headers import listed
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts

if TYPE_CHECKING:
    from finflow.pipelines.core.manifests import Check, Evaluation
    from finflow.pipelines.settings.parts import Gate

_NAT = np.datetime64("NaT", "ns")


class Costs(Settings):
    """What a wrong decision costs; a right one costs nothing. Only their ratio bears on the threshold."""

    false_positive: float = Field(default=1.0, gt=0, le=1e12, description="treating a row of the first class as one of the last")
    false_negative: float = Field(
        default=1.0, gt=0, le=1e12, description="missing a row of the last class; with a `stake`, this times what is at stake in the row"
    )


class OutcomeSettings(Settings):
    """Two classes of rows, and when a row's class becomes known."""

    kind: Literal["outcome"] = "outcome"
    column: str = Field(description="clean column of the outcome; empty where it is not known yet")
    positive: tuple[str, ...] = Field(min_length=1, description="its values, as texts, that mean the last class; others mean the first")
    classes: tuple[str, str] = Field(default=("no", "yes"), description="names of the two classes; the last is the one that is looked for")
    known_after_days: int = Field(
        default=0, ge=0, le=36_500, description="days after a row until its outcome counts as known (the outcome window)"
    )
    known_column: str | None = Field(
        default=None, description="clean column of the time at which the outcome became known; where it is empty, known_after_days says"
    )
    stake: str | None = Field(default=None, description="clean column of what is at stake in a row (an amount), for the costs")
    costs: Costs = Field(
        default=Costs(), description="of wrong decisions: they set the threshold from which a row is treated as one of the last class"
    )
    top_a_day: tuple[int, ...] = Field(default=(), max_length=5, description="precision and recall among so many highest scores a day")
    protected: tuple[str, ...] = Field(
        default=(), max_length=10, description="columns by whose values fairness is reported; features only where named there too"
    )
    limits: dict[Limit, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict,
        description="of fairness, over the groups of every protected column; who is beyond one is not promoted. A ratio's is the least, "
        "all others' the most that is allowed",
    )
    afterwards: tuple[str, ...] = Field(
        default=(), description="columns that are known only after the outcome: a feature made of one is refused"
    )
    known_before: tuple[str, ...] = Field(
        default=(), description="features that somebody vouches for: known before the outcome, however much they say about it"
    )
    reasons: int = Field(default=0, ge=0, le=50, description="features that moved a score most, written beside it")

    @field_validator("top_a_day")
    @classmethod
    def _counts(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(count < 1 for count in value) or len(set(value)) != len(value):
            raise ValueError("top_a_day holds different counts of at least 1")
        return value

    @model_validator(mode="after")
    def _names(self) -> OutcomeSettings:
        if self.limits and not self.protected:
            raise ValueError(f"limits {sorted(self.limits)} are of groups, and there are none: name columns under `protected`")
        if self.classes[0] == self.classes[1]:
            raise ValueError("classes: two different names are needed")
        for name in self.classes:
            try:
                check_identifier(name, "class")
            except FinflowError as error:
                raise ValueError(str(error)) from None
        return self


class Outcome(OfClasses):
    """The target is 1 where the last class came, else 0; a row without a known outcome has none, and is scored all the same."""

    Settings = OutcomeSettings
    says = "outcome"
    beside = frozenset({"costs", "top_a_day", "protected", "known_before", "reasons"})
    independent = True
    admits_missing = True
    shown = METRICS

    @property
    def plots(self) -> tuple[Plot, ...]:
        return PLOTS

    @property
    def classes(self) -> tuple[str, str]:
        return (self.settings.classes[0], self.settings.classes[1])

    @property
    def required(self) -> tuple[str, ...]:
        more = (self.settings.known_column, self.settings.stake, *self.settings.protected)
        return tuple(dict.fromkeys((self.settings.column, *(name for name in more if name))))

    @property
    def numbers(self) -> tuple[str, ...]:
        return () if self.settings.stake is None else (self.settings.stake,)

    @property
    def outcome_values(self) -> tuple[str, tuple[str, ...]]:
        return self.settings.column, self.settings.positive

    @property
    def reasons(self) -> int:
        return int(self.settings.reasons)

    def check_features(self, columns: tuple[str, ...], labels: tuple[str, ...]) -> None:
        """Raises DefinitionError: a feature is made of the outcome, or of what is known only after it; or somebody vouches for none."""
        settings = self.settings
        after = [name for name in columns if name in (settings.column, settings.known_column, *settings.afterwards)]
        if after:
            raise DefinitionError(
                f"features: {', '.join(dict.fromkeys(after))} is known only after the outcome (problem: column, known_column, afterwards): "
                "no model may read it before. Leave it out of the features."
            )
        _check_known("known_before", "feature", settings.known_before, labels)

    def check_columns(self, columns: Sequence[str]) -> None:
        """Raises DefinitionError: `afterwards` names a column that is none, which would guard nothing."""
        _check_known("afterwards", "column", self.settings.afterwards, columns)

    def groups(self, clean: pd.DataFrame) -> dict[str, NDArray[np.str_]]:
        """By protected column, each row's value as text, `(missing)` where there is none."""
        found = {}
        for name in self.settings.protected:
            place, texts = distinct_texts(clean[name])
            found[name] = np.array([*texts, "(missing)"], dtype=np.str_)[place]  # place -1 is the last
        return found

    def outcomes(self, clean: pd.DataFrame) -> Outcomes:
        found = self.targets(clean, None)
        return Outcomes(found.values[:, 0].astype(np.float64), found.label_end)

    def forget(self, clean: pd.DataFrame, date: np.datetime64) -> pd.DataFrame:
        late = self.targets(clean, None).label_end.astype("datetime64[D]") > date
        names = [name for name in (self.settings.column, self.settings.known_column) if name is not None and name != "known_at"]
        return clean.assign(**{name: clean[name].mask(late) for name in names})

    def targets(self, clean: pd.DataFrame, calendar: str | None) -> Targets:
        """`origin` is the stake; `target_time` when the outcome may first have been known: who was trained later may have seen it.

        An outcome that a later revision of its row brought, or changed, was not known before that, whatever the settings say.
        """
        settings = self.settings
        place, texts = distinct_texts(clean[settings.column])
        code = np.array([*(float(text in settings.positive) for text in texts), np.nan])[place]
        start = np.asarray(clean["time"].to_numpy().astype("datetime64[ns]"))
        settled = start + np.timedelta64(settings.known_after_days, "D").astype("timedelta64[ns]")  # to the hour: midnight would be early
        known_at, earliest = settled, settled.astype("datetime64[D]").astype("datetime64[ns]")
        if settings.known_column is not None:
            told = _times(clean[settings.known_column], settings.known_column)
            known_at = np.where(np.isnat(told), settled, told)
            earliest = start
        if CORRECTED in clean:
            corrected = _times(clean[CORRECTED], CORRECTED)
            known_at = np.where(np.isnat(corrected), known_at, np.maximum(known_at, corrected))
        known = np.isfinite(code)
        stake = np.full(len(clean), np.nan) if settings.stake is None else clean[settings.stake].to_numpy(dtype=np.float64)
        return Targets(
            values=code[:, None].astype(np.float32),
            label_start=np.where(known, start, _NAT),
            label_end=np.where(known, known_at, _NAT),
            target_time=earliest[:, None],
            origin=stake,
        )

    def losses(self, prediction: Prediction, index: SampleIndex) -> Mapping[str, Float64]:
        """`log_loss`, `brier` (of the last class) and `cost`: what deciding by the threshold of the costs costs."""
        return outcome_losses(self._probability(prediction), codes_of(index), index.origin, self.settings.costs)

    def metrics(self, prediction: Prediction, index: SampleIndex, scale: Float64) -> list[MetricParts]:
        """See `outcome_scores.outcome_metrics`."""
        return outcome_metrics(self._probability(prediction), codes_of(index), index, self.settings)

    def coverages(self, prediction: Prediction, index: SampleIndex) -> list[MetricParts]:
        """None: probabilities have no intervals."""
        return []

    def checks(self, prediction: Prediction, index: SampleIndex, gate: Gate, seed: int) -> tuple[Check, ...]:
        """The limits of fairness that the settings set, each named `fairness_...`."""
        if not self.settings.limits:
            return ()
        decided = decided_of(self._probability(prediction), index, self.settings)
        return fairness_checks(group_figures(decided, index.groups, None), self.settings.limits)

    def tables(self, tested: Tested) -> Mapping[str, pd.DataFrame]:
        """`differences`, `periods`, `fairness` (with protected columns), `stability` (of folds by time); see `outcome_tables`."""
        found = {
            "differences": difference_table(tested, self.settings),
            "periods": period_table(tested, self.settings),
            "fairness": fairness_table(tested, self.settings),
            "stability": stability_table(tested),
        }
        return {name: table for name, table in found.items() if len(table)}

    def sections(self, tables: Mapping[str, pd.DataFrame], evaluation: Evaluation) -> list[str]:
        """See `outcome_sections`."""
        return outcome_sections(tables, evaluation, self.classes)

    def _probability(self, prediction: Prediction) -> Float64:
        return np.ascontiguousarray(probabilities_of(prediction)[:, 1])

    def scale_of(self, train: SampleIndex) -> Mapping[int, float]:
        """One: probabilities have no unit."""
        return {}

    def rows(self, prediction: Prediction, index: SampleIndex, entities: tuple[str, ...]) -> pd.DataFrame:
        """One row a sample: a probability a class (`p_good`, `p_bad` say), and `threshold`, from which the costs ask for the last class."""
        probabilities = probabilities_of(prediction)
        frame: dict[str, Any] = {
            "entity": pd.array(list(entities), dtype="str").take(index.entity),
            "time": index.time.astype("datetime64[us]"),
            "target_time": index.target_time[:, 0].astype("datetime64[us]"),
            "horizon": np.ones(len(index), dtype=np.int64),
        }
        frame |= {f"p_{name}": probabilities[:, place] for place, name in enumerate(self.classes)}
        frame["threshold"] = cost_threshold(index.origin, self.settings.costs)
        return pd.DataFrame(frame, copy=False)

    def answers(self, rows: pd.DataFrame, index: SampleIndex, entities: tuple[str, ...]) -> Prediction:
        """The probabilities that `rows` laid out; float32, [n, 2]."""
        columns = [f"p_{name}" for name in self.classes]
        values = ordered_values(rows, index, np.ones(len(index), dtype=np.int64), entities, columns)
        return Prediction("probabilities", values.astype(np.float32))


def _check_known(setting: str, what: str, names: Sequence[str], there: Sequence[str]) -> None:
    unknown = [name for name in names if name not in there]
    if unknown:
        raise DefinitionError(f"problem.{setting}: no {what} {', '.join(map(repr, unknown))}; there are {listed(there)}.")


def _times(column: pd.Series, name: str) -> NDArray[np.datetime64]:
    """datetime64[ns], NaT where missing.

    Raises:
        DefinitionError: the column holds no times.
    """
    if column.isna().all():
        return np.full(len(column), _NAT)
    try:
        found = pd.to_datetime(column, utc=True, format="ISO8601")
    except (ValueError, TypeError):
        raise DefinitionError(
            f"problem.known_column: {name!r} holds a value that is no ISO time, such as 2021-03-04T09:30; mend the cell, or leave it empty."
        ) from None
    return np.asarray(found.dt.tz_localize(None).to_numpy().astype("datetime64[ns]"))
