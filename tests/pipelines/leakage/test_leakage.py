"""A candidate that peeks is caught, and an honest definition passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pytest

import finflow.pipelines.leakage.models
from finflow.models.base import FitReport, Hardware, Model, ModelSettings, Prediction
from finflow.models.samples import Samples
from finflow.models.zoo import model_class
from finflow.pipelines.core.errors import NotEnoughHistoryError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.leakage.check import LeakageCheck, check_leakage, check_rows
from finflow.pipelines.leakage.data import changed_columns, cut_dates, knowing_columns, replace_future, with_column, worlds_without_future
from finflow.pipelines.leakage.models import shuffle_labels
from finflow.pipelines.samples.windows import build_samples
from finflow.pipelines.settings.parts import Recipe
from tests.support.pipelines.bars import bars, definition, planted

AS_OF = pd.Timestamp("2016-02-26 22:00", tz="UTC")


def small(*features: dict[str, object], **changes: object) -> Definition:
    """Two entities, a baseline, and no network: quick to check."""
    plain = {"dense": {"model": "historical_mean"}}
    return definition(**{"features": [{"kind": "log_return", "name": "log_return"}, *features], "candidates": plain, **changes})


def outcome(wanted: Definition, frame: pd.DataFrame) -> dict[str, LeakageCheck]:
    report = check_rows(wanted, frame, AS_OF)
    assert report.passed == all(check.passed for check in report.checks)
    return {check.name: check for check in report.checks}


def test_an_honest_definition_passes_every_check() -> None:
    found = outcome(small({"kind": "rolling_volatility", "window": 10}, {"kind": "weekday_sin"}), bars(300))
    assert [name for name, check in found.items() if not check.passed] == []
    assert len(found) == 5


@pytest.mark.parametrize(
    "feature",
    [
        {"kind": "log_return", "shift": -1},
        {"kind": "rolling_mean_return", "window": 20, "shift": -10},
        {"kind": "weekday_sin", "shift": -1},
        {"kind": "value", "column": "volume", "shift": -200},
    ],
    ids=lambda feature: feature["kind"],
)
def test_a_feature_shifted_from_the_future_is_named(feature: dict[str, Any]) -> None:
    wanted = planted(small({**feature, "name": "tomorrow", "shift": 0}), "tomorrow", feature["shift"])
    found = outcome(wanted, bars(300))["the future does not change the past"]
    assert not found.passed
    assert "tomorrow" in found.columns
    assert "log_return" not in found.columns
    assert "tomorrow changes up to" in found.detail


def test_a_feature_that_scales_by_the_whole_series_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tutorials' leak: a scaler fitted before the split."""
    from finflow.pipelines.features.kinds import FEATURES, FeatureKind

    monkeypatch.setitem(FEATURES, "scaled_close", FeatureKind(lambda panel, feature: panel["close"] / np.nanmax(panel["close"])))
    frame = bars(300)
    frame.loc[299, "close"] = frame["close"].max() * 1.5
    found = outcome(small({"kind": "scaled_close"}), frame)["the future does not change the past"]
    assert found.columns == ("scaled_close",)


@pytest.mark.parametrize("step", [1, 2])
def test_a_column_of_the_data_that_holds_a_later_price_is_named(step: int) -> None:
    """No shift of ours made it, so only its likeness to the target shows it."""
    frame = bars(300)
    frame["target_price"] = frame.groupby("entity")["close"].shift(-step).ffill()
    found = outcome(small({"kind": "value", "column": "target_price"}), frame)
    assert found["no column knows the target"].columns == ("value_target_price",)
    assert found["the future does not change the past"].passed


def test_a_strong_but_honest_signal_is_no_leak() -> None:
    """An autoregressive return that explains half of the next one's variance."""
    random = np.random.default_rng(4)
    frame = bars(1500, entities=("A",))
    returns = np.zeros(1500)
    for day in range(1, 1500):
        returns[day] = 0.7 * returns[day - 1] + random.normal(0, 0.01)
    frame["close"] = 100 * np.exp(np.cumsum(returns))
    samples = build_samples(small(), frame)
    assert knowing_columns(samples, ("log_return",)) == {}


class Peeking(Model):
    """The base of models that read what they may not."""

    Settings: ClassVar[type[ModelSettings]] = ModelSettings
    family: ClassVar[str] = "peeking"
    offset: float = 0.0

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        return FitReport()

    def answer(self, samples: Samples) -> np.ndarray:
        """[n, outputs]: what is predicted."""
        return np.full(samples.targets.shape, self.offset, dtype=np.float32)

    def predict(self, samples: Samples) -> Prediction:
        levels = self.task.levels
        return Prediction("quantiles", np.repeat(self.answer(samples)[:, :, None], len(levels), axis=2), levels)

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path, settings: ModelSettings, task: object) -> Self:
        raise NotImplementedError


class ScalesByEverything(Peeking):
    """Fits on every observation of the tensor, the test part among them."""

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        self.offset = float(np.nanmean(train.observations.values[:, 0]))
        return FitReport()


class ReadsTheNextRow(Peeking):
    """Answers with the observation after the window."""

    def answer(self, samples: Samples) -> np.ndarray:
        following = np.minimum(samples.index.row + 1, len(samples.observations.values) - 1)
        return np.repeat(np.nan_to_num(samples.observations.values[following, :1]), samples.targets.shape[1], axis=1)


class ReadsTheAnswer(Peeking):
    """Answers with the targets it is asked for."""

    def answer(self, samples: Samples) -> np.ndarray:
        return np.nan_to_num(samples.targets)


@pytest.mark.parametrize("peeking", [ScalesByEverything, ReadsTheNextRow, ReadsTheAnswer])
def test_a_model_that_peeks_is_named(peeking: type[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finflow.pipelines.leakage.models, "model_class", lambda name: peeking if name == "peeking" else model_class(name))
    wanted = small()
    wanted = wanted.model_copy(update={"candidates": {"oracle": Recipe(model="peeking"), "honest": Recipe(model="historical_mean")}})
    found = outcome(wanted, bars(300))["no model peeks"]
    assert found.columns == ("oracle",)
    assert "oracle: predictions up to" in found.detail


AUGMENTED = {"net": {"model": "dense", "settings": {"hidden": [4], "augmentation": {"share": 1.0}}}}


def test_generated_samples_pass() -> None:
    found = outcome(small(candidates=AUGMENTED), bars(300))
    assert [name for name, check in found.items() if not check.passed] == []


def test_a_generator_that_peeks_is_named_even_where_its_samples_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused samples leave no trace in the predictions, so the losses of the trial must give the generator away."""
    from finflow.models.networks.network import Network
    from tests.support.models.augmentation_cases import Junk

    junk: list[Junk] = []

    def of_the_whole_tensor(self: Network, train: Any, steps: int) -> Junk:
        junk.append(Junk(train))
        junk[-1].window = junk[-1].window + float(np.nanmean(train.batches.scaling.features(whole(train))))
        return junk[-1]

    monkeypatch.setattr(Network, "source", of_the_whole_tensor)
    found = outcome(small(candidates=AUGMENTED), bars(300))["no model peeks"]
    assert found.columns == ("net",)
    assert "net: what its fit up to" in found.detail
    assert len(junk) == 2


def whole(train: Any) -> np.ndarray:
    """float32, [windows, features]: the first row of every window in the tensor, the test part's too."""
    windows = train.batches._windows
    return np.nan_to_num(np.array(windows[:, 0, : len(train.batches.scaling.feature_location)]))


def test_skill_on_shuffled_labels_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        finflow.pipelines.leakage.models, "model_class", lambda name: ReadsTheAnswer if name == "dense" else model_class(name)
    )
    monkeypatch.setitem(finflow.pipelines.leakage.models.SHUFFLED, "quantiles", {"dense": {}})
    wanted = small(candidates={"mean": {"model": "historical_mean"}})
    found = outcome(wanted, bars(300))["shuffled labels give no skill"]
    assert found.columns == ("dense",)
    assert "dense beats historical_mean on shuffled labels by 100.0%" in found.detail


def test_shuffled_labels_are_the_same_labels_elsewhere() -> None:
    samples = build_samples(small(), bars(60))
    shuffled = shuffle_labels(samples, seed=1)
    known = samples.index.labelled
    assert (shuffled.targets[known] != samples.targets[known]).any(axis=1).mean() > 0.9
    np.testing.assert_array_equal(np.sort(shuffled.targets[known], axis=0), np.sort(samples.targets[known], axis=0))
    np.testing.assert_array_equal(shuffled.index.labelled, known)


def test_noise_stands_after_the_cut_alone() -> None:
    frame = bars(50).assign(sector="banks")
    cut = np.datetime64("2015-02-10")
    noisy = replace_future(frame, cut, seed=3)
    later = frame["time"].to_numpy() > cut
    pd.testing.assert_frame_equal(noisy[~later], frame[~later])
    for column in ("open", "high", "low", "close", "volume"):
        assert (noisy[column][later] != frame[column][later]).all()
        assert (noisy[column][later] > 0).all()
    assert (noisy["sector"] == "banks").all()


def test_a_changed_target_and_a_lost_sample_are_noticed() -> None:
    frame = bars(50)
    samples = build_samples(small(), frame)
    cut = cut_dates(frame)[1]
    world = worlds_without_future(small(), frame, cut, seed=0)[0]
    assert changed_columns(samples, world) == ()
    world.samples.index.target[3] += 1.0
    assert changed_columns(samples, world) == ("(targets)",)
    shorter = type(world)(world.what, world.cut, world.clean, world.samples.take(np.arange(5, len(samples))))
    assert changed_columns(samples, shorter) == ("(samples)",)


def test_a_column_that_is_the_target_ranks_as_it_does() -> None:
    samples = build_samples(small(), bars(300))
    known = with_column(samples, "cheat", samples.targets[:, 1].astype(np.float64) ** 3)
    assert knowing_columns(known, ("log_return", "cheat")) == {"cheat": pytest.approx(1.0)}


def test_too_few_rows_are_told_so() -> None:
    with pytest.raises(NotEnoughHistoryError):
        check_rows(small(), bars(4), AS_OF)


def test_check_leakage_reads_validates_and_passes(home: Home) -> None:
    """The whole way, from the source on, with a network among the candidates; a planted copy fails."""
    values = {
        "source": {"kind": "simulated", "process": "random_walk", "entities": 2, "days": 500, "start": "2015-01-05", "seed": 0},
        "calendar": "XNYS",
        "contract": {"kind": "bars", "minimum_history": 100},
        "folds": {"first_test": "2016-01-01", "months": 6, "validation_months": 3},
    }
    wanted = definition(**values)
    report = check_leakage(open_context(wanted, home), "2016-10-03")
    assert report.passed, report
    more = wanted.model_copy(update={"features": (*wanted.features, wanted.features[0].model_copy(update={"name": "tomorrow"}))})
    failed = check_leakage(open_context(planted(more, "tomorrow", -1), home), "2016-10-03")
    assert not failed.passed
    assert {column for check in failed.checks for column in check.columns if not check.passed} >= {"tomorrow"}
