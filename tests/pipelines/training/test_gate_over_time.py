"""A year of nightly retraining where there is nothing to find: chance must not be promoted because it is asked so often."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finflow.models.samples import Float64
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CleanManifest, Evaluation, RawManifest
from finflow.pipelines.core.sight import Sight
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.lake.promotions import PromotionRow
from finflow.pipelines.training import decisions
from finflow.pipelines.training.decisions import promotion_row, training_decision
from tests.support import tiny_values
from tests.support.pipelines.evaluation_support import evaluation_of

CLEAN = CleanManifest("clean/tiny", 7, "", "digest", 1, 1, 0, (), "", RawManifest("raw/tiny", 1, 0, 1, "", ""))
BEFORE, NIGHTS = 500, 252
NETWORKS = ("lstm", "cnn", "dense")


class Memory:
    """A promotions table without a lake."""

    def __init__(self) -> None:
        self.kept: list[PromotionRow] = []

    def snapshot(self) -> tuple[tuple[PromotionRow, ...], int | None]:
        return tuple(self.kept), len(self.kept) or None

    def record(self, row: PromotionRow) -> None:
        self.kept.append(replace(row, sequence=len(self.kept) + 1))


def year(definition: Definition, seed: int, every: int, monkeypatch: pytest.MonkeyPatch, *, sealed: bool = True) -> Memory:
    """Train on every `every`-th night with new seeds: each network's losses are drawn anew, all as good as the reference's.

    Args:
        sealed: later challenges are decided on dates that nobody has looked at; else on all of them, every time.
    """
    generator = np.random.default_rng(seed)
    base = np.abs(generator.normal(size=BEFORE + NIGHTS))
    classical = {
        "random-walk": base,
        "historical-mean": base + 0.01 + 0.1 * generator.normal(size=len(base)),
        "ridge": base + 0.02 + 0.1 * generator.normal(size=len(base)),
    }
    memory = Memory()
    context = replace(open_context(definition, Home.from_environment()), promotions=memory)  # type: ignore[arg-type]
    known: dict[str, dict[str, Float64]] = {}

    def daily(evaluation: Evaluation) -> tuple[np.ndarray, dict[str, Float64]]:
        count = evaluation.dates
        return np.datetime64("2015-01-01", "ns") + np.arange(count) * np.timedelta64(1, "D"), known["losses"]

    monkeypatch.setattr(decisions, "safety_losses", daily)
    for night in range(0, NIGHTS, every):
        losses = {name: values[: BEFORE + night] for name, values in classical.items()}
        losses |= {name: losses["random-walk"] + 0.2 * generator.normal(size=BEFORE + night) for name in NETWORKS}
        known["losses"] = losses
        champion = memory.kept[-1].candidate if memory.kept else None
        rows = [row for row in memory.kept if row.challenge]
        unseen = night - nights_of(rows[-1]) if rows else BEFORE + night
        due = not rows or not sealed or unseen >= definition.gate.new_dates
        sight = Sight(len(rows), unseen if sealed else BEFORE + night, decided=unseen if due and sealed else 0)
        named = {"looks": len(memory.kept), "sight": sight, "compare": due or champion in NETWORKS}
        evaluation = evaluation_of(losses, run_key=f"{seed}-{night}", champion=champion, **named)  # type: ignore[arg-type]
        ruling = training_decision(context, evaluation)
        assert bool(ruling.decision.challenge) == due
        version = len(memory.kept) + 1
        memory.record(promotion_row(ruling, CLEAN, version=version, manifest_digest=str(version), code_version="c"))
    return memory


def nights_of(row: PromotionRow) -> int:
    """How many nights of the year had passed at a decision."""
    return int((np.datetime64(row.test_end) - np.datetime64("2015-01-01")) / np.timedelta64(1, "D")) + 1 - BEFORE


@pytest.mark.slow
def test_a_year_of_nights_promotes_a_network_at_most_once_in_twenty(monkeypatch: pytest.MonkeyPatch) -> None:
    definition = parse_definition(tiny_values(gate={"loss": "mae"}))
    promoted = 0
    for seed in range(20):
        memory = year(definition, seed, 1, monkeypatch)
        assert len(memory.kept) == NIGHTS
        challenges = [row.challenge for row in memory.kept if row.challenge]
        assert challenges == [1, 2, 3, 4, 5]
        assert sum(row.level for row in memory.kept) < 0.05
        promoted += any(row.candidate in NETWORKS for row in memory.kept)
    assert promoted <= 1


@pytest.mark.slow
def test_without_the_rules_the_same_years_would_promote_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: asked every tenth night at 5 %, with no level spent, noise is promoted in most years."""
    monkeypatch.setattr("finflow.pipelines.training.gate.level_to_spend", lambda level, challenges: level)
    definition = parse_definition(tiny_values(gate={"loss": "mae"}))
    years = (year(definition, seed, 10, monkeypatch, sealed=False) for seed in range(10))
    promoted = sum(any(row.candidate in NETWORKS for row in one.kept) for one in years)
    assert promoted >= 3
