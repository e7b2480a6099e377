"""Which decisions and which quarantines are worth an event."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from finflow.flows.runs.events import DEMOTED, QUARANTINE, REFUSED, WAITS, announce_decision, watched_quarantine
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import Decision, RawManifest
from finflow.pipelines.data.contract import validate
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.training.conclusion import Conclusion
from tests.support import tiny_values
from tests.support.patching import replace_everywhere

AS_OF = pd.Timestamp("2018-06-01", tz="UTC")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The events that were emitted: name and text."""
    found: list[tuple[str, str]] = []

    def emit(event: str, definition: Definition, text: str, **details: Any) -> None:
        found.append((event, text))

    replace_everywhere(monkeypatch, "finflow.flows.runs.events.emit", emit)
    return found


@pytest.mark.parametrize(
    ("verdict", "challenge", "challengers", "event"),
    [
        ("kept", 2, {"lstm": "not better"}, REFUSED),
        ("refreshed", 2, {"lstm": "not better"}, REFUSED),
        ("reference", 1, {"lstm": "not better"}, REFUSED),
        ("kept", 0, {}, None),  # no challenge was decided: not enough new dates
        ("kept", 2, {}, None),  # nobody challenged
        ("promoted", 2, {"lstm": "beats ridge"}, None),
        ("pending", 2, {"lstm": "beats ridge"}, WAITS),
        ("demoted", 2, {"lstm": "not better"}, DEMOTED),
        ("historical", 0, {}, None),
    ],
)
def test_decisions_worth_an_event(
    verdict: str, challenge: int, challengers: dict[str, str], event: str | None, sent: list[tuple[str, str]]
) -> None:
    decision = Decision(verdict, False, "ridge", "The reason.", 0.03, challenge, {"challengers": challengers})
    announce_decision(parse_definition(tiny_values()), Conclusion(decision, {}))
    assert sent == ([] if event is None else [(event, f"tiny: {verdict}. The reason.")])


def bars(days: int, broken: int) -> pd.DataFrame:
    """Bars of one entity, the last `broken` of them with a high below the low."""
    time = pd.bdate_range("2017-01-02", periods=days).astype("datetime64[us]")
    close = 100 + (pd.Series(range(days)) % 7)
    frame = pd.DataFrame(
        {"entity": "A", "time": time, "open": close, "high": close + 1.0, "low": close - 1.0, "close": close * 1.0, "volume": 1e6}
    )
    frame.loc[frame.index >= days - broken, "high"] = 50.0
    return frame.assign(open=frame["open"] * 1.0, known_at=time.tz_localize("UTC") + pd.Timedelta(hours=24), period="2017")


def test_rows_are_told_of_once_by_the_run_that_quarantines_them(home: Home, sent: list[tuple[str, str]]) -> None:
    definition = parse_definition(tiny_values(calendar=None, contract={"kind": "bars", "minimum_history": 50, "maximum_quarantined": 0.5}))
    frame = bars(200, 6)

    def night(rows: pd.DataFrame, total: int) -> None:
        version = Lake(home.lake).append("raw/tiny", rows)
        raw = RawManifest("raw/tiny", version, len(rows), total, "2017-01-02", "2017-10-06")
        with watched_quarantine(open_context(definition, home), raw):
            validate(open_context(definition, home), raw, AS_OF, now=AS_OF)

    night(frame.iloc[:190], 190)
    assert sent == [], "nothing was broken"
    night(frame.iloc[190:], 200)
    assert [event for event, _ in sent] == [QUARANTINE]
    assert sent[0][1].startswith("tiny: 6 rows were put into quarantine, 60.0% of those that came. Rules broken: ")
    raw = RawManifest("raw/tiny", Lake(home.lake).version("raw/tiny") or 0, 0, 200, "2017-01-02", "2017-10-06")
    with watched_quarantine(open_context(definition, home), raw):
        validate(open_context(definition, home), raw, AS_OF, now=AS_OF)
    assert len(sent) == 1, "the same rows seen again are no news"


def test_a_share_below_the_threshold_is_no_event(home: Home, sent: list[tuple[str, str]]) -> None:
    values = tiny_values(
        calendar=None, contract={"kind": "bars", "minimum_history": 50, "maximum_quarantined": 0.5}, monitoring={"quarantined": 0.1}
    )
    definition = parse_definition(values)
    version = Lake(home.lake).append("raw/tiny", bars(200, 6))
    raw = RawManifest("raw/tiny", version, 200, 200, "2017-01-02", "2017-10-06")
    with watched_quarantine(open_context(definition, home), raw):
        assert validate(open_context(definition, home), raw, AS_OF, now=AS_OF).quarantined == 6
    assert sent == []
