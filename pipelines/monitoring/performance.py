"""What the champion's predictions were worth once their targets are known: its loss against the reference's, and coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from finflow.models.samples import Float64
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.lake.monitoring_checks import COVERAGE, LOSS, MonitoringCheck, measured, not_measured, number
from finflow.pipelines.statistics import default_block
from finflow.pipelines.statistics.bootstrap import bootstrap_means
from finflow.pipelines.statistics.multiple import caution

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.monitoring.champion import Trained
    from finflow.pipelines.monitoring.scored import Scored

REPLICATIONS = 1_999
INTERVAL = 0.95


@dataclass(frozen=True)
class Mean:
    """A mean over dates with its 95 % interval, and the one-sided chances of a mean so far above and below a value."""

    value: float
    low: float
    high: float
    draws: Float64

    def above(self, value: float) -> float:
        """p-value of "the mean is at most `value`"."""
        return float(1 + (self.draws >= self.value - value).sum()) / (len(self.draws) + 1)

    def below(self, value: float) -> float:
        """p-value of "the mean is at least `value`"."""
        return float(1 + (self.draws <= self.value - value).sum()) / (len(self.draws) + 1)


def mean_over_dates(daily: Float64, horizon: int, seed: int) -> Mean:
    """Block-bootstrap interval of the mean of one value a date, [dates], widened by what few blocks do not know of the variance.

    Args:
        horizon: dates that a value spans.
    """
    block = default_block(len(daily), horizon)
    value = float(daily.mean())
    draws = (bootstrap_means(daily[:, None], block, REPLICATIONS, seed) - value) * caution(len(daily), block, REPLICATIONS, seed)
    low, high = np.quantile(draws[:, 0], [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return Mean(value, value + float(low), value + float(high), draws[:, 0])


def check_loss(definition: Definition, trained: Trained, scored: Scored) -> list[MonitoringCheck]:
    """The deciding loss over the last scored sessions, and by which part it lies above the reference's on the same samples.

    One loss a date, averaged over entities. The reference is fitted on the rows that the champion was trained on.
    """
    loss = definition.gate.loss
    scored_rows, reason = _known(definition, scored)
    if reason:
        return [not_measured(LOSS, reason)]
    daily = scored_rows.groupby("time")[["loss", "reference"]].mean()
    spoken = f"{len(daily)} sessions from {daily.index[0]:%Y-%m-%d} to {daily.index[-1]:%Y-%m-%d}, {_origin(scored_rows)}"
    mean = mean_over_dates(daily["loss"].to_numpy(), scored.horizon, definition.seed)
    detail = f"{loss} {number(mean.value)} over {spoken}"
    return [
        measured(LOSS, loss, trained.row.candidate, mean.value, low=mean.low, high=mean.high, detail=detail),
        _excess_loss(definition, trained, scored, daily.dropna()),
    ]


def _excess_loss(definition: Definition, trained: Trained, scored: Scored, daily: pd.DataFrame) -> MonitoringCheck:
    """By which part the loss lies above the reference's, of `daily` that has both on every date."""
    settings, loss = definition.monitoring, definition.gate.loss
    if trained.is_reference and daily.empty:
        return not_measured(LOSS, f"the champion is the reference {definition.reference}: there is nothing to compare it with")
    if len(daily) < settings.minimum_dates:
        few = f"{len(daily)} sessions have a loss of {definition.reference} beside the champion's"
        return not_measured(LOSS, scored.trouble or few)
    against = float(daily["reference"].mean())
    excess = mean_over_dates((daily["loss"] - daily["reference"]).to_numpy(), scored.horizon, definition.seed)
    logarithmic = problem_of(definition).logarithmic(loss)
    whole = 1.0 if logarithmic else against
    if not whole > 0:
        return not_measured(LOSS, f"{definition.reference}'s {loss} is {number(against)}: no part of it can be taken")
    value, p_value = excess.value / whole, excess.above(0.0)
    told = f"{value:+.3f}, a difference of logarithms," if logarithmic else f"{value:+.1%}"
    detail = f"{loss} {told} against {definition.reference}'s {number(against)} over {len(daily)} sessions"
    return measured(
        LOSS,
        "excess loss",
        definition.reference,
        value,
        threshold=settings.loss,
        low=excess.low / whole,
        high=excess.high / whole,
        alarm=value > settings.loss and p_value <= settings.level,
        detail=f"{detail}, p {p_value:.3f} that it is no higher",
    )


def check_coverage(definition: Definition, scored: Scored) -> list[MonitoringCheck]:
    """How often what came lay within each central interval, against how often it should."""
    settings = definition.monitoring
    scored_rows, reason = _known(definition, scored)
    if reason:
        return [not_measured(COVERAGE, reason)]
    if not scored.nominal:
        return [not_measured(COVERAGE, "the predictions have no intervals")]
    checks = []
    for name, nominal in scored.nominal.items():
        daily = scored_rows.groupby("time")[name].mean().dropna()
        mean = mean_over_dates(daily.to_numpy(), scored.horizon, definition.seed)
        # both sides, and as many intervals as there are: Bonferroni, for they are few
        p_value = min(1.0, 2.0 * min(mean.above(nominal), mean.below(nominal)) * len(scored.nominal))
        lower = mean.value < nominal
        low, high = max(mean.low, 0.0), min(mean.high, 1.0)
        checks.append(
            measured(
                COVERAGE,
                "coverage",
                name,
                mean.value,
                threshold=nominal - settings.coverage if lower else nominal + settings.coverage,
                low=low,
                high=high,
                alarm=abs(mean.value - nominal) > settings.coverage and p_value <= settings.level,
                detail=f"{mean.value:.1%} [{low:.1%}, {high:.1%}] of the targets lay within the {nominal:.0%} interval, p {p_value:.3f}",
            )
        )
    return checks


def daily_losses(scored: Scored, sessions: int) -> pd.DataFrame:
    """The loss of champion and reference, one a date, over the last `sessions` dates with known targets."""
    labelled = scored.frame[scored.frame["known"]]
    return labelled.groupby("time")[["loss", "reference"]].mean().iloc[-sessions:]


def _known(definition: Definition, scored: Scored) -> tuple[pd.DataFrame, str]:
    """The samples with known targets on the last sessions that count, or why they are too few."""
    settings = definition.monitoring
    labelled = scored.frame[scored.frame["known"].astype(bool)]
    dates = np.sort(labelled["time"].unique())[-settings.performance_sessions :]
    if len(dates) < settings.minimum_dates:
        there = scored.frame["time"].nunique()
        return labelled, (
            f"{len(dates)} scored sessions have known targets ({there} have out-of-sample predictions), {settings.minimum_dates} are "
            f"needed: finflow score or backfill {definition.name}"
        )
    return labelled[labelled["time"] >= dates[0]], ""


def _origin(labelled: pd.DataFrame) -> str:
    """Where the predictions come from."""
    versions = ", ".join(str(version) for version in sorted(labelled["version"].unique()))
    live = int(labelled["live"].sum())
    return f"{live:,} of {len(labelled):,} predictions served live, the others backfilled, by version {versions}"
