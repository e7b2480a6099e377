"""Rolling back, and what status and history say."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from finflow.pipelines.core.calendars import ranges
from finflow.pipelines.core.errors import ConflictError, FinflowError, RegistryError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import Context, open_context
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.lake.promotions import PromotionRow, Promotions
from finflow.pipelines.operating.history import history
from finflow.pipelines.operating.rollback import rollback
from finflow.pipelines.operating.status import status
from tests.support.patching import replace_everywhere
from tests.support.pipelines.prediction_rows import rows
from tests.support.pipelines.serving_support import Market, make_market


@pytest.fixture
def market(home: Home) -> Market:
    return make_market(home)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked of the registry."""
    asked: list[Any] = []

    def load(context: Context, version: int) -> None:
        asked.append(("load", version))

    def repair(context: Context) -> None:
        champion = context.promotions.champion()
        assert champion is not None
        asked.append(("repair", champion.version))

    replace_everywhere(monkeypatch, "finflow.pipelines.registry.versions.load_version", load)
    replace_everywhere(monkeypatch, "finflow.pipelines.registry.versions.repair_aliases", repair)
    return asked


def promote(home: Home, version: int | None, verdict: str = "promoted", as_of: str = "2017-03-31T21:00:00+00:00") -> None:
    promotions = Promotions(Lake(home.lake), "tiny")
    before = promotions.champion()
    row = PromotionRow(
        run_key=f"run-{len(promotions.rows())}",
        verdict=verdict,
        candidate=f"candidate-{version}",
        family="test",
        version=version,
        previous_version=before.version if before else None,
        effective_as_of=as_of,
        reason="it was better",
        manifest_digest=f"digest-{version}",
    )
    promotions.record(row, promotions.snapshot()[1])


def test_back_and_further_back(market: Market, calls: list[Any]) -> None:
    home, definition = market.home, market.definition
    for version in (1, 2, 3):
        promote(home, version)
    promote(home, 3, verdict="kept")
    first = rollback(open_context(definition, home), "  it drifts ")
    assert (first.verdict, first.promoted, first.candidate) == ("rolled-back", True, "candidate-2")
    assert first.reason == "rolled back from version 3 (candidate-3) to version 2 (candidate-2): it drifts"
    assert calls == [("load", 2), ("repair", 2)]
    promotions = Promotions(Lake(home.lake), "tiny")
    champion = promotions.champion()
    assert champion is not None
    assert (champion.version, champion.manifest_digest) == (2, "digest-2")
    assert promotions.rows()[-1].previous_version == 3
    rollback(open_context(definition, home), "still drifts")
    assert promotions.champion().version == 1  # type: ignore[union-attr]
    with pytest.raises(RegistryError, match="version 1 of tiny is its first champion"):
        rollback(open_context(definition, home), "more")
    promote(home, 4, as_of="2017-06-30T21:00:00+00:00")
    rollback(open_context(definition, home), "four is bad")
    assert promotions.champion().version == 1  # type: ignore[union-attr]


def test_it_takes_effect_with_the_newest_data(market: Market, calls: list[Any]) -> None:
    promote(market.home, 1)
    promote(market.home, 2)
    rollback(market.context, "why not")
    promotions = Promotions(Lake(market.home.lake), "tiny")
    assert promotions.effective("2017-06-29") == 2
    assert promotions.effective("2017-06-30") == 1


def test_what_cannot_be_rolled_back_is_refused_and_recorded_nowhere(
    market: Market, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, definition = market.home, market.definition
    with pytest.raises(RegistryError, match="no champion yet"):
        rollback(open_context(definition, home), "why")
    with pytest.raises(FinflowError, match="needs a reason"):
        rollback(open_context(definition, home), "  ")
    promote(home, 1)
    promote(home, 2)

    def refuse(*_: object) -> None:
        raise RegistryError("version 1 was changed on disk")

    replace_everywhere(monkeypatch, "finflow.pipelines.registry.versions.load_version", refuse)
    with pytest.raises(RegistryError, match="changed on disk"):
        rollback(open_context(definition, home), "why")
    assert [row["verdict"] for row in history(open_context(definition, home))["decisions"]] == ["promoted", "promoted"]


def test_a_decision_in_between_is_read_before_the_next_try(market: Market, calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    promote(market.home, 1)
    promote(market.home, 2)
    original = Promotions.record
    tries: list[int] = []

    def record(self: Promotions, row: PromotionRow, expected_version: int | None) -> int:
        tries.append(1)
        if len(tries) == 1:
            promote(market.home, 3)  # calls this again, once
            raise ConflictError("lost")
        return original(self, row, expected_version)

    monkeypatch.setattr(Promotions, "record", record)
    decision = rollback(market.context, "why")
    assert decision.reason.startswith("rolled back from version 3 (candidate-3) to version 2")


def test_status_of_nothing(home: Home) -> None:
    from tests.support.pipelines.serving_support import small_definition

    found = status(open_context(small_definition(), home))
    assert (found["champion"], found["runs"], found["data"], found["predictions"]) == (None, [], None, None)
    assert history(open_context(small_definition(), home)) == {"decisions": [], "waiting": None}


def test_status_names_champion_freshness_and_gaps(market: Market) -> None:
    promote(market.home, 1)
    promote(market.home, 2)
    promote(market.home, 2, verdict="kept")
    given = rows(["2017-06-22", "2017-06-23", "2017-06-28"], backfill_id="b")
    Predictions(Lake(market.home.lake), "tiny").append_new(given)
    Predictions(Lake(market.home.lake), "tiny").append_new(rows(["2017-06-22"], version=2))
    # Monday evening, an hour and a half after the close: the session of the third is published, that of the fourth is a holiday
    found = status(market.context, now=pd.Timestamp("2017-07-03T18:30:00Z"))
    assert found["champion"]["version"] == 2
    assert found["champion"]["verdict"] == "promoted"
    assert [run["verdict"] for run in found["runs"]] == ["kept", "promoted", "promoted"]
    assert found["data"]["last"] == "2017-06-30"
    assert found["data"]["sessions_behind"] == 1  # 3 July 2017 closed at 17:00 UTC
    assert found["predictions"]["rows"] == 8
    assert found["predictions"]["live_rows"] == 2
    assert found["predictions"]["missing_dates"] == 4
    assert found["predictions"]["gaps"] == [
        {"start": "2017-06-26", "end": "2017-06-27", "dates": 2},
        {"start": "2017-06-29", "end": "2017-06-30", "dates": 2},
    ]


def test_ranges_of_nothing_missing() -> None:
    days = pd.DatetimeIndex(["2020-01-01", "2020-01-02"])
    assert ranges(days, [True, True]) == []
    assert ranges(days[:0], []) == []
