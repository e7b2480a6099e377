"""Features: values by hand, and no feature reads the future or another entity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.category_texts import texts_of
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.features.kinds import CATEGORY, FEATURES, FeatureKind
from finflow.pipelines.samples.features import feature_frame, feature_reach
from finflow.pipelines.settings.parts import Feature
from tests.support.pipelines.bars import bars, definition, planted

#: those that read rows by key are tried in test_point_in_time.py
NUMBERS = {name: kind for name, kind in FEATURES.items() if name != CATEGORY and "key" not in kind.takes}


def of(*features: dict[str, object]) -> Definition:
    return definition(features=list(features))


def one(frame: pd.DataFrame, **feature: object) -> np.ndarray:
    return feature_frame(of({"name": "x", **feature}), frame)["x"].to_numpy()


def spelled(name: str, kind: FeatureKind) -> dict[str, object]:
    """A feature of this kind with what it needs."""
    values: dict[str, object] = {"kind": name, "name": "x"}
    if kind.column == "required":
        values["column"] = "close"
    if kind.smallest_window is not None:
        values["window"] = kind.smallest_window + 3
    return values


def frame_of(**columns: list[float]) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    return pd.DataFrame({"entity": "A", "time": pd.bdate_range("2020-01-06", periods=count), **columns})


def test_values_by_hand() -> None:
    frame = frame_of(
        open=[10.0, 11.0, 12.0, 12.0],
        high=[12.0, 12.0, 12.0, 14.0],
        low=[8.0, 10.0, 12.0, 12.0],
        close=[10.0, 11.0, 12.0, 13.0],
        volume=[5.0, 0.0, 7.0, 14.0],
    )
    nan = np.nan
    overnight = np.array([np.log(11 / 10), np.log(12 / 11), 0.0]) ** 2
    width, body = np.log([1.2, 1.0, 14 / 12]), np.log([1.0, 1.0, 13 / 12])
    garman_klass = 0.5 * width**2 - (2 * np.log(2) - 1) * body**2 + overnight
    parkinson = width**2 / (4 * np.log(2)) + overnight
    expected = {
        ("log_return",): [nan, np.log(1.1), np.log(12 / 11), np.log(13 / 12)],
        ("simple_return",): [nan, 0.1, 1 / 11, 1 / 12],
        ("log_range",): [np.log(1.5), np.log(1.2), 0.0, np.log(14 / 12)],
        ("overnight_return",): [nan, np.log(1.1), np.log(12 / 11), 0.0],
        ("intraday_return",): [0.0, 0.0, 0.0, np.log(13 / 12)],
        ("close_location",): [0.5, 0.5, 0.5, 0.5],
        ("log_change",): [nan, 0.0, 0.0, np.log(2.0)],
        ("change", "close"): [nan, 1.0, 1.0, 1.0],
        ("value", "close"): [10.0, 11.0, 12.0, 13.0],
        ("log_value", "close"): np.log([10.0, 11.0, 12.0, 13.0]),
        ("weekday_sin",): np.sin(2 * np.pi * np.arange(4) / 7),
        ("weekday_cos",): np.cos(2 * np.pi * np.arange(4) / 7),
        ("month_sin",): [0.0] * 4,
        ("month_cos",): [1.0] * 4,
        ("hour_sin",): [0.0] * 4,
        ("hour_cos",): [1.0] * 4,
        ("rolling_mean_return", 2): [nan, nan, np.log(1.2) / 2, np.log(13 / 11) / 2],
        ("moving_average_ratio", 2): [nan, np.log(11 / 10.5), np.log(12 / 11.5), np.log(13 / 12.5)],
        ("relative_volume", 2): [nan, 0.0, np.log(7 / 3.5), np.log(14 / 10.5)],
        ("rsi", 2): [nan, nan, 100.0, 100.0],
        ("log_garman_klass",): np.log([nan, *garman_klass]),
        ("log_parkinson",): np.log([nan, *parkinson]),
        ("log_squared_return",): [nan, *np.log(np.log([1.1, 12 / 11, 13 / 12]) ** 2)],
        ("standardised_return", 2): [nan, nan, nan, np.log(13 / 12) / np.sqrt((np.log(1.1) ** 2 + np.log(12 / 11) ** 2) / 2)],
        ("negative_standardised_return", 2): [nan, nan, nan, 0.0],
        ("rolling_volatility", 2): [nan, nan, *np.abs(np.diff(np.log([1.1, 12 / 11, 13 / 12]))) / np.sqrt(2)],
    }
    assert {key[0] for key in expected} == set(NUMBERS), "every kind has a value here"
    for (kind, *rest), values in expected.items():
        extra = {("window" if isinstance(item, int) else "column"): item for item in rest}
        np.testing.assert_allclose(one(frame, kind=kind, **extra), values, rtol=1e-12, atol=1e-15, err_msg=kind)


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_no_feature_reads_the_future_or_another_entity(name: str) -> None:
    frame = bars(60)
    feature = of(spelled(name, FEATURES[name]))
    before = feature_frame(feature, frame)["x"].to_numpy()
    assert np.isfinite(before[20:60]).all(), "the comparison below must compare numbers"
    changed = frame.copy()
    later = (frame["entity"] == "A") & (frame.groupby("entity").cumcount() > 40)
    numbers = ["open", "high", "low", "close", "volume"]
    changed.loc[later, numbers] = changed.loc[later, numbers] * 3.7 + 1
    after = feature_frame(feature, changed)["x"].to_numpy()
    same = ~later.to_numpy()
    assert before[same].tobytes() == after[same].tobytes()
    alone = feature_frame(feature, frame[frame["entity"] == "B"].reset_index(drop=True))["x"].to_numpy()
    assert before[60:].tobytes() == alone.tobytes()


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_bits_do_not_depend_on_how_long_the_history_is(name: str) -> None:
    frame = bars(60, entities=("A",))
    feature = of(spelled(name, FEATURES[name]))
    whole = feature_frame(feature, frame)["x"].to_numpy()
    recent = feature_frame(feature, frame[30:].reset_index(drop=True))["x"].to_numpy()
    reach = feature_reach(feature)
    assert whole[30 + reach :].tobytes() == recent[reach:].tobytes()
    assert np.isfinite(recent[reach:]).all(), "feature_reach says after how many rows the feature is there"


def test_a_shift_moves_within_the_entity_and_a_negative_one_reads_the_future() -> None:
    frame = bars(10)
    plain = one(frame, kind="value", column="close")
    later = feature_frame(planted(of({"name": "x", "kind": "value", "column": "close"}), "x", -2), frame)["x"].to_numpy()
    earlier = one(frame, kind="value", column="close", shift=3)
    np.testing.assert_array_equal(later, [*plain[2:10], np.nan, np.nan, *plain[12:], np.nan, np.nan])
    np.testing.assert_array_equal(earlier, [np.nan] * 3 + [*plain[:7]] + [np.nan] * 3 + [*plain[10:17]])


def test_prices_of_zero_or_less_have_no_logarithm_and_raise_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    values = one(frame_of(close=[10.0, -37.0, 0.0, 10.0, 11.0]), kind="log_return")
    np.testing.assert_allclose(values, [np.nan, np.nan, np.nan, np.nan, np.log(1.1)])
    assert not recwarn.list


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ({"kind": "macd"}, "no feature of kind 'macd'.*log_return"),
        ({"kind": "value"}, "`column` is missing"),
        ({"kind": "log_range", "column": "close"}, "takes no `column`"),
        ({"kind": "log_return", "window": 5}, "takes no `window`"),
        ({"kind": "rolling_volatility"}, "needs a `window` of at least 2"),
        ({"kind": "rolling_volatility", "window": 1}, "needs a `window` of at least 2"),
        ({"kind": "log_return", "name": "__level"}, "begin"),
    ],
)
def test_features_that_are_refused_when_the_definition_is_read(feature: dict[str, object], expected: str) -> None:
    with pytest.raises(DefinitionError, match=expected):
        of(feature)


def test_a_column_that_the_data_lack_is_named_with_those_there_are() -> None:
    with pytest.raises(DefinitionError, match="no column 'turnover': there are open, high, low, close, volume"):
        feature_frame(of({"kind": "value", "column": "turnover"}), bars(5))


def test_text_is_no_number() -> None:
    frame = bars(5).assign(sector="banks")
    with pytest.raises(DefinitionError, match="'sector' holds text"):
        feature_frame(of({"kind": "value", "column": "sector"}), frame)


def test_labels_tell_kind_column_window_and_shift() -> None:
    assert Feature(kind="rsi", column="close", window=14, shift=2).label == "rsi_close_14_shift2"


def test_a_category_is_the_same_text_whatever_its_column_is_kept_as() -> None:
    """A missing value turns whole numbers into floats and booleans into objects; a frame asked for a score may be of yet another dtype."""
    for values, texts in (([1, 2], ["1", "2"]), ([True, False], ["1", "0"]), ([0.5, 2.0], ["0.5", "2"])):
        plain = pd.Series(values)
        kept = [plain, plain.astype("category"), plain.astype(object), plain.astype(float), plain.convert_dtypes()]
        for column in (*kept, pd.Series([*values, None], dtype=object)):
            assert texts_of(column)[:2] == texts, column.dtype
        assert texts_of(pd.Series([*values, None], dtype=object))[2] is None


@pytest.mark.parametrize("kind", ["float32", "Float32", "float32[pyarrow]", "category", "object"])
def test_a_narrow_number_is_the_category_that_the_wide_one_was(kind: str) -> None:
    """A caller's float32 of 0.1 is 0.10000000149011612 to Python; the table that the model was trained on holds 0.1."""
    values = [0.1, 2.0, 1e-7, 123.456, 3e10, -0.333333, 9_999_999.0]
    texts = ["0.1", "2", "1e-07", "123.456", "30000000000", "-0.333333", "9999999"]
    narrow = pd.Series(np.array(values, dtype=np.float32))
    column = pd.Series(list(narrow.to_numpy()), dtype=object) if kind == "object" else narrow.astype(kind)
    assert texts_of(pd.Series(values)) == texts
    assert texts_of(column.drop(4)) == [*texts[:4], *texts[5:]]
    for lost in (0.1234567, 16_777_217.0, 1 / 3, 3e10):
        one = [np.float32(lost)]
        with pytest.raises(ValueError, match="a float32 of more than its six digits"):
            texts_of(pd.Series(one, dtype=object) if kind == "object" else pd.Series(one, dtype="float32").astype(kind))


def test_a_table_of_narrow_numbers_trains_the_categories_that_a_caller_names() -> None:
    """A Parquet file of float32 becomes float64 on its way, and means 0.1 all the same."""
    assert texts_of(pd.Series(np.array([0.1, 0.7], dtype=np.float32)).astype("float64")) == ["0.1", "0.7"]
    assert texts_of(pd.Series([0.30000000000000004, 1 / 3, 1e300, 5e-324])) == [
        "0.30000000000000004",
        str(1 / 3),
        str(int(1e300)),
        "5e-324",
    ]
    assert texts_of(pd.Series(np.array([0.5, 2], dtype=np.float16))) == ["0.5", "2"]
