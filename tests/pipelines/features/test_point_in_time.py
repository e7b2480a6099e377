"""Features by key: values by a plain loop, and the same bits from the whole table as from a table cut at the row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.features.kinds import FEATURES
from finflow.pipelines.features.panel import Outcomes, Panel
from finflow.pipelines.features.point_in_time import LARGEST
from finflow.pipelines.samples.features import feature_frame
from finflow.pipelines.settings.parts import Feature
from tests.support.pipelines.bars import definition

START = np.datetime64("2024-03-01T00:00:00", "ns")
HOUR, DAY = np.timedelta64(3_600, "s"), np.timedelta64(1, "D")
KEYS = ("entity", "terminal")
BY_KEY = [
    {"kind": kind, "key": key, "days": days}
    for kind in ("count_before", "outcome_count_before", "outcome_rate_before")
    for key in KEYS
    for days in (1, 7, None)
]
BY_KEY += [{"kind": "time_since", "key": key} for key in (*KEYS, ("entity", "terminal"), ("terminal", "amount"))]
BY_KEY += [{"kind": "outcome_rate_before", "key": ("entity", "terminal"), "days": 7}]
BY_KEY += [
    {"kind": kind, "key": key, "days": days, "column": "amount"}
    for kind in ("sum_before", "mean_before", "relative_to_mean_before")
    for key in KEYS
    for days in (1, None)
]
BY_KEY += [{"kind": "outcome_rate_before", "key": "terminal", "days": 7, "delay_days": 3}, {"kind": "hour_sin"}, {"kind": "hour_cos"}]


def transactions(rows: list[tuple[int, str, str | None, float, int, float]]) -> pd.DataFrame:
    """Clean rows of (hour, entity, terminal, amount, hours until the outcome is known, outcome), one of each entity and hour."""
    frame = pd.DataFrame(rows, columns=["hour", "entity", "terminal", "amount", "after", "fraud"])
    frame = frame.drop_duplicates(["entity", "hour"])
    frame["time"] = START + frame["hour"].to_numpy() * HOUR
    frame["reported_at"] = frame["time"].to_numpy() + frame["after"].to_numpy() * HOUR
    return frame.sort_values(["entity", "time"], ignore_index=True)


def outcomes_of(clean: pd.DataFrame) -> Outcomes:
    return Outcomes(clean["fraud"].to_numpy(), clean["reported_at"].to_numpy().astype("datetime64[ns]"))


def computed(clean: pd.DataFrame, features: list[dict[str, object]] = BY_KEY) -> np.ndarray:
    """float64, [rows, features]."""
    panel = Panel(clean, outcomes_of)
    with np.errstate(all="ignore"):
        return np.column_stack([FEATURES[str(one["kind"])].function(panel, Feature(**one)) for one in features])


def by_hand(clean: pd.DataFrame, row: int, feature: dict[str, object]) -> float:
    """One feature of one row, by looking at every other row."""
    me = clean.iloc[row]
    if feature["kind"] in ("hour_sin", "hour_cos"):
        turn = 2 * np.pi * (me["hour"] % 24) / 24
        return float(np.sin(turn) if feature["kind"] == "hour_sin" else np.cos(turn))
    keys = feature["key"] if isinstance(feature["key"], tuple) else (feature["key"],)
    if me[list(keys)].isna().any():
        return np.nan
    since = me["time"] - pd.Timedelta(days=feature["days"]) if feature.get("days") else pd.Timestamp.min
    earlier = clean[(clean[list(keys)] == me[list(keys)]).all(axis=1) & (clean["time"] < me["time"])]
    if str(feature["kind"]).startswith("outcome"):
        known = np.maximum(earlier["reported_at"], earlier["time"] + pd.Timedelta(days=feature.get("delay_days") or 0))
        seen = earlier[(known < me["time"]) & (known >= since) & earlier["fraud"].notna()]["fraud"]
        positives = float(seen.sum())
        return positives if feature["kind"] == "outcome_count_before" else positives / len(seen) if len(seen) else np.nan
    if feature["kind"] == "time_since":
        return (me["time"] - earlier["time"].max()) / pd.Timedelta(days=1) if len(earlier) else np.nan
    recent = earlier[earlier["time"] >= since]
    if feature["kind"] == "count_before":
        return float(len(recent))
    amounts = [round(value * 1_000_000) for value in recent["amount"].dropna()]
    if feature["kind"] == "sum_before":
        return sum(amounts) / 1e6
    mean = sum(amounts) / 1e6 / len(amounts) if amounts else np.nan
    if feature["kind"] == "mean_before":
        return mean
    return float(me["amount"]) / mean if mean else np.nan


ROWS = st.lists(
    st.tuples(
        st.integers(0, 24 * 12),
        st.sampled_from("ABC"),
        st.sampled_from(["X", "Y", None]),
        st.one_of(st.floats(-50, 5_000).map(lambda value: round(value, 2)), st.just(np.nan)),
        st.sampled_from([0, 1, 24, 60, 24 * 9]),
        st.sampled_from([0.0, 0.0, 1.0, np.nan]),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_what_a_plain_loop_finds(rows: list[tuple[int, str, str | None, float, int, float]]) -> None:
    clean = transactions(rows)
    expected = [[by_hand(clean, row, feature) for feature in BY_KEY] for row in range(len(clean))]
    np.testing.assert_allclose(computed(clean), np.array(expected, dtype=np.float64), rtol=1e-12, atol=1e-12, equal_nan=True)


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_the_same_bits_from_a_table_cut_at_the_row(rows: list[tuple[int, str, str | None, float, int, float]]) -> None:
    clean = transactions(rows)
    whole = computed(clean)
    for row in range(len(clean)):
        now = clean["time"].iloc[row]
        then = as_known(clean, now)
        place = int(np.flatnonzero((then["entity"] == clean["entity"].iloc[row]) & (then["time"] == now))[0])
        assert same_bits(computed(then)[place], whole[row])


def as_known(clean: pd.DataFrame, now: pd.Timestamp) -> pd.DataFrame:
    """The rows up to an instant, with the outcomes that were known by it."""
    then = clean[clean["time"] <= now].reset_index(drop=True)
    later = then["reported_at"] > now
    return then.assign(fraud=then["fraud"].mask(later), reported_at=then["reported_at"].mask(later))


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    both = np.isnan(left) & np.isnan(right)
    return bool(np.array_equal(np.where(both, 0.0, left).view(np.int64), np.where(both, 0.0, right).view(np.int64)))


def test_rows_of_one_instant_do_not_see_each_other() -> None:
    clean = transactions([(0, "A", "X", 10.0, 0, 1.0), (0, "B", "X", 20.0, 0, 1.0), (5, "C", "X", 30.0, 0, 0.0)])
    panel = Panel(clean, outcomes_of)
    assert FEATURES["count_before"].function(panel, Feature(kind="count_before", key="terminal", days=1)).tolist() == [0.0, 0.0, 2.0]
    assert FEATURES["outcome_count_before"].function(panel, Feature(kind="x", key="terminal", days=1)).tolist() == [0.0, 0.0, 2.0]


def test_an_outcome_counts_from_when_it_was_known_and_so_does_its_window() -> None:
    day = 24
    clean = transactions([(0, "A", "X", 1.0, 10 * day, 1.0)] + [(n * day + 1, "B", "X", 1.0, 10_000, 0.0) for n in range(9, 15)])
    feature = Feature(kind="outcome_count_before", key="terminal", days=2)
    assert FEATURES["outcome_count_before"].function(Panel(clean, outcomes_of), feature).tolist() == [0, 0, 1, 1, 0, 0, 0]


def test_an_outcome_said_to_be_known_before_its_row_counts_no_earlier_than_the_row() -> None:
    clean = transactions([(0, "A", "X", 1.0, 0, 0.0), (10, "A", "X", 1.0, 0, 1.0), (11, "B", "X", 1.0, 0, 0.0)])
    clean.loc[1, "reported_at"] = START - DAY
    feature = Feature(kind="outcome_count_before", key="terminal")
    assert FEATURES["outcome_count_before"].function(Panel(clean, outcomes_of), feature).tolist() == [0, 0, 1]


def test_sums_are_exact_where_floating_point_forgets() -> None:
    large = 2.0**41
    assert large < LARGEST < 2 * large
    amounts = [large, 0.01, *[0.1] * 10, large, 1.0, np.inf, 1.0]
    clean = transactions([(hour, "A", "X", amount, 0, 0.0) for hour, amount in enumerate(amounts)])
    found = computed(clean, [{"kind": "sum_before", "key": "terminal", "column": "amount", "days": None}])[:, 0]
    assert found[12] == large + 1.01
    late = transactions([(hour + 48, "A", "X", 0.1, 0, 0.0) for hour in range(11)] + [(0, "A", "X", large, 0, 0.0)])
    recent = computed(late, [{"kind": "sum_before", "key": "terminal", "column": "amount", "days": 1}])[:, 0]
    assert recent[-1] == 1.0
    assert found[-1] == found[-2] == 2 * large + 2.01  # what is infinite counts as missing


def test_what_a_feature_does_not_take_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"features.0 \(log_range_3d\): log_range takes no `days`"):
        definition(features=[{"kind": "log_range", "days": 3}])
    with pytest.raises(DefinitionError, match="time_since takes no `delay_days`"):
        definition(features=[{"kind": "time_since", "delay_days": 3}])
    with pytest.raises(DefinitionError, match="`column` is missing"):
        definition(features=[{"kind": "sum_before", "key": "terminal"}])


def test_a_key_that_the_data_lack_and_outcomes_that_the_problem_lacks() -> None:
    clean = transactions([(0, "A", "X", 1.0, 0, 0.0)])
    with pytest.raises(DefinitionError, match="no column 'merchant'"):
        feature_frame(definition(features=[{"kind": "count_before", "key": "merchant"}]), clean)
    with pytest.raises(DefinitionError, match="this kind of problem has none"):
        feature_frame(definition(features=[{"kind": "outcome_rate_before", "key": "terminal"}]), clean)


def test_labels_say_key_and_days() -> None:
    assert Feature(kind="sum_before", column="amount", key="terminal", days=7).label == "sum_before_amount_terminal_7d"
