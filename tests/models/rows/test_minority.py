"""Generated rows of the rare class: kept where they beat no augmentation and SMOTE, without a trace where they do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from finflow.models.base import Hardware, Task
from finflow.models.errors import FitFailure
from finflow.models.rows import minority, minority_trial
from finflow.models.rows.boosting import Boosting
from finflow.models.rows.calibration import logistic_curve
from finflow.models.rows.minority import MinorityAugmentation, MinorityVerdict, judge_precision
from finflow.models.rows.minority_trial import LabelledRows, clusters, with_rows
from finflow.models.rows.tabular import TabularModel
from finflow.models.samples import Samples
from finflow.models.saving import load_model, save_model
from finflow.models.zoo import model_class
from tests.support.models.tabular_cases import as_samples, log_loss, rows, served, split, unfitted
from tests.support.patching import replace_everywhere

#: settings that make fits quick, by model
SMALL: dict[str, dict[str, Any]] = {
    "boosting": {"rounds": 30, "learning_rate": 0.1},
    "tabular_dense": {"recipe": "textbook", "hidden": [8], "epochs": 3, "patience": 3, "batch": 128},
}
BRIEF = {"seeds": 3, "steps": 3}


@pytest.fixture(scope="module")
def data() -> tuple[Samples, Task]:
    """About one in seven is bad."""
    samples, task = rows(1600, seed=4)
    target = samples.targets[:, 0]
    keep = (target == 0) | (np.random.default_rng(0).random(len(target)) < 0.25)
    return samples.take(np.flatnonzero(keep)), task


def fit(name: str, data: tuple[Samples, Task], seed: int = 1, **more: Any) -> tuple[TabularModel, Any]:
    model = unfitted(name, data[1], **{**SMALL[name], **more})
    train, validation, _ = split(data[0])
    return model, model.fit(train, validation, seed=seed, hardware=Hardware())


def keep_always(patch: pytest.MonkeyPatch) -> None:
    replace_everywhere(patch, "finflow.models.rows.minority.judge_precision", lambda *arguments: MinorityVerdict(True, "the test says so"))


def made_by(patch: pytest.MonkeyPatch, make: Any) -> None:
    """`make(rows, count, seed)` in place of the generator."""
    real = minority_trial.makers

    def makers(own: LabelledRows, settings: MinorityAugmentation, names: tuple[str, ...], threads: int) -> Any:
        found = real(own, settings, names, threads)
        return {**found, "generated": lambda seed: make(own, own.wanted(settings), seed)}

    replace_everywhere(patch, "finflow.models.rows.minority_trial.makers", makers)


def junk(own: LabelledRows, count: int, seed: int) -> tuple[NDArray, NDArray]:
    """Rows of the other class, said to be of the rare one."""
    chosen = np.random.default_rng(seed).choice(np.flatnonzero(own.classes != own.rare), count)
    return own.numbers[chosen], own.codes[chosen]


@pytest.mark.parametrize("name", SMALL)
def test_junk_is_refused_and_leaves_no_trace(name: str, data: tuple[Samples, Task], monkeypatch: pytest.MonkeyPatch) -> None:
    made_by(monkeypatch, junk)
    model, report = fit(name, data, augmentation={"seeds": 3, "share": 4.0})
    found = report.notes["augmentation"]
    assert found["kept"] is False
    assert len(found["gains"]) == 3
    assert found["rows"] == 0
    assert set(found["average_precision"]) == {"none", "smote", "generated"}
    plain, _ = fit(name, data)
    np.testing.assert_array_equal(model.predict(data[0]).values, plain.predict(data[0]).values)


def shells(count: int, seed: int, share: float) -> tuple[Samples, Task]:
    """The rare class lies in a shell around the other, in four numbers: between its rows lies the other class."""
    random = np.random.default_rng(seed)
    bad = random.random(count) < share
    direction = random.normal(size=(count, 4))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = np.where(bad, random.normal(2.8, 0.15, count), np.abs(random.normal(1.5, 0.5, count)))
    day = np.datetime64("2020-01-01", "ns") + np.sort(random.integers(0, 300, count)) * np.timedelta64(1, "D")
    names = tuple(f"x{number}" for number in range(4))
    return as_samples(direction * radius[:, None], np.zeros((count, 0), dtype=np.int64), bad, day, names, ())


def test_a_generator_that_draws_from_the_truth_is_kept_and_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of fresh rows of the rare class where there are 26: what a perfect generator would bring."""
    (few, task), test = shells(6000, 1, 0.02), shells(10_000, 3, 0.02)[0]
    train, validation, _ = split(few, 0.25, 0.75)

    def truth(own: LabelledRows, count: int, seed: int) -> tuple[NDArray, NDArray]:
        fresh = shells(count, 100 + seed, 1.0)[0]
        return fresh.gather()[:, 0], fresh.gather_categories()[:, 0]

    made_by(monkeypatch, truth)
    settings = {"rounds": 150, "patience": 30, "learning_rate": 0.1, "leaf_rows": 5}
    model, plain = unfitted("boosting", task, augmentation={"share": 20.0}, **settings), unfitted("boosting", task, **settings)
    found = model.fit(train, validation, seed=1, hardware=Hardware()).notes["augmentation"]
    plain.fit(train, validation, seed=1, hardware=Hardware())
    assert found["kept"], found
    assert found["rows"] == round(20 * train.targets.sum())
    assert min(found["gains"]) > 0
    assert max(*found["p_seeds"].values(), *found["p_rows"].values()) <= 0.05
    from sklearn.metrics import average_precision_score

    scores = [one.predict(test).values[:, 1] for one in (model, plain)]
    precision = [average_precision_score(test.targets[:, 0], score) for score in scores]
    assert precision[0] > 1.5 * precision[1], "and so it is on rows that nobody saw"
    assert abs(scores[0].mean() - test.targets.mean()) < 0.005, "and probabilities are still those of the real rows"


@pytest.mark.parametrize("name", SMALL)
def test_kept_by_force_it_is_saved_served_and_seeded_to_the_bit(
    name: str, data: tuple[Samples, Task], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keep_always(monkeypatch)
    model, report = fit(name, data, augmentation=BRIEF)
    assert report.notes["augmentation"]["rows"] > 0
    values = model.predict(data[0]).values
    np.testing.assert_array_equal(fit(name, data, augmentation=BRIEF)[0].predict(data[0]).values, values)
    assert not np.array_equal(fit(name, data)[0].predict(data[0]).values, values)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(data[0]).values, values)
    np.testing.assert_array_equal(loaded.predict(served(*data)).values, values)
    found = loaded.contributions(data[0].take(np.arange(50)))
    assert found is not None
    assert np.abs(found.error).max() < 0.011


@pytest.mark.parametrize("name", SMALL)
def test_probabilities_before_calibration_are_at_the_real_base_rate(
    name: str, data: tuple[Samples, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five copies of every real row of the rare class: without the shift the mean would be about twice as high."""
    keep_always(monkeypatch)

    def copies(own: LabelledRows, count: int, seed: int) -> tuple[NDArray, NDArray]:
        rare = own.classes == 1
        return np.tile(own.numbers[rare], (5, 1)), np.tile(own.codes[rare], (5, 1))

    made_by(monkeypatch, copies)
    more: dict[str, Any] = {"calibration": {"method": "none"}, **({"epochs": 20} if name == "tabular_dense" else {})}
    model, _ = fit(name, data, augmentation={"seeds": 3, "share": 5.0, "steps": 1}, **more)
    plain, _ = fit(name, data, **more)
    train, _, test = split(data[0])
    rate = float(train.targets.mean())
    assert model.shift == pytest.approx(np.log(6))
    for one in (model, plain):
        assert abs(one.predict(train).values[:, 1].mean() - rate) < 0.3 * rate
    assert log_loss(model, test) < 1.15 * log_loss(plain, test)


def test_what_stops_the_trees_is_the_loss_at_the_real_base_rate(data: tuple[Samples, Task], monkeypatch: pytest.MonkeyPatch) -> None:
    keep_always(monkeypatch)
    model, report = fit("boosting", data, augmentation=BRIEF, calibration={"method": "none"})
    assert isinstance(model, Boosting)
    assert report.notes["stopping_log_loss"] == pytest.approx(log_loss(model, split(data[0])[1]), rel=1e-4)
    odds = model.contributions(data[0])
    np.testing.assert_allclose(logistic_curve(odds.score.astype(float)), model.raw_probability(data[0]), rtol=1e-5)


def test_a_refusal_after_an_acceptance_leaves_no_shift(data: tuple[Samples, Task], monkeypatch: pytest.MonkeyPatch) -> None:
    train, validation, _ = split(data[0])
    model = unfitted("boosting", data[1], **SMALL["boosting"], augmentation=BRIEF)
    for verdict, kept in ((MinorityVerdict(True, "yes"), True), (MinorityVerdict(False, "no"), False)):
        replace_everywhere(monkeypatch, "finflow.models.rows.minority.judge_precision", lambda *arguments, verdict=verdict: verdict)
        model.fit(train, validation, seed=1, hardware=Hardware())
        assert (model.shift > 0) is kept


def test_a_damaged_shift_is_refused(data: tuple[Samples, Task], tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    model, _ = fit("boosting", data)
    model.save(tmp_path)
    arrays = load_file(tmp_path / "vocabulary.safetensors")
    for wrong in (np.array([np.nan]), np.zeros(2)):
        save_file({**arrays, "shift": wrong}, tmp_path / "vocabulary.safetensors")
        with pytest.raises(ValueError, match="no finite number: the file is damaged"):
            type(model).load(tmp_path, model.settings, model.task)


def test_infinite_numbers_are_named(data: tuple[Samples, Task]) -> None:
    samples, task = data
    values = samples.observations.values.copy()
    values[samples.index.row[3], samples.column("income")] = np.inf
    broken = replace(samples, observations=replace(samples.observations, values=values)), task
    assert "features ['income'] hold infinite values" in fit("boosting", broken, augmentation=BRIEF)[1].notes["augmentation"]["reason"]


def test_the_rare_class_may_be_the_first(data: tuple[Samples, Task], monkeypatch: pytest.MonkeyPatch) -> None:
    samples, task = data
    turned = as_samples(
        samples.gather()[:, 0], samples.gather_categories()[:, 0], 1 - samples.targets, samples.index.time, task.columns, task.categories
    )
    keep_always(monkeypatch)
    model, report = fit("boosting", turned, augmentation=BRIEF)
    assert model.shift < 0
    assert report.notes["augmentation"]["rows"] == int((split(turned[0])[0].targets == 0).sum())


def test_a_trial_that_fails_is_a_reason_to_do_without(data: tuple[Samples, Task], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(own: LabelledRows, count: int, seed: int) -> Any:
        raise FitFailure("the generator of rows did not stay finite")

    made_by(monkeypatch, broken)
    model, report = fit("boosting", data, augmentation=BRIEF)
    assert report.notes["augmentation"]["reason"] == "the trial failed: the generator of rows did not stay finite"
    np.testing.assert_array_equal(model.predict(data[0]).values, fit("boosting", data)[0].predict(data[0]).values)


def scores_of(random: np.random.Generator, gain: float, over: str, seeds: int = 5, count: int = 600) -> tuple[dict[str, NDArray], NDArray]:
    """Scores of five seeds, where the generated rows' fits are better than none, than SMOTE or than both."""
    positive = random.random(count) < 0.15
    shared = positive + random.normal(size=count)
    noise = {name: 0.05 * random.normal(size=(seeds, count)) for name in ("none", "smote", "generated")}
    better = shared + gain * positive
    base = {"none": shared, "smote": shared if over == "both" else better, "generated": better}
    return {name: base[name] + noise[name] for name in noise}, positive


def test_a_gain_over_none_alone_is_not_enough() -> None:
    random = np.random.default_rng(0)
    verdict = judge_precision(*scores_of(random, 1.0, "both"), np.arange(600), 0.05)
    assert verdict.kept, verdict
    verdict = judge_precision(*scores_of(random, 1.0, "none"), np.arange(600), 0.05)
    assert not verdict.kept
    assert "SMOTE" in verdict.reason
    assert max(verdict.p_seeds["none"] or 1, verdict.p_rows["none"]) <= 0.05


def test_a_luck_of_the_validation_part_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fit of one kind sees the same validation part: where nothing is better, what all its seeds share passes a test of seeds alone.
    Both tests over both rivals let through no more than their level."""
    monkeypatch.setattr(minority, "DRAWS", 200)
    random = np.random.default_rng(1)
    kept, by_seeds = 0, 0
    for _ in range(40):
        positive = random.random(300) < 0.15
        scores = {name: positive + random.normal(size=300) + 0.1 * random.normal(size=(5, 300)) for name in ("none", "smote", "generated")}
        found = judge_precision(scores, positive, np.arange(300), 0.05)
        kept += found.kept
        by_seeds += all((found.p_seeds[name] or 1) <= 0.05 for name in ("none", "smote"))
    assert by_seeds > 6, "the same fit again and again is no evidence"
    assert kept <= 4


def test_scores_that_are_not_finite_are_refused() -> None:
    scores, positive = scores_of(np.random.default_rng(0), 1.0, "both")
    scores["generated"][2, 5] = np.nan
    assert judge_precision(scores, positive, np.arange(600), 0.05).reason == "a score is not finite"


def test_dates_are_drawn_together_where_there_are_many(data: tuple[Samples, Task]) -> None:
    index = data[0].index
    days = clusters(index)
    assert len(np.unique(days)) == len(np.unique(index.time)) > 100
    few = clusters(index.take(index.time < np.unique(index.time)[20]))
    np.testing.assert_array_equal(few, np.arange(len(few)))


def test_rows_are_added_after_the_real_ones(data: tuple[Samples, Task]) -> None:
    train = split(data[0])[0]
    numbers = np.array([[1.0, np.nan], [2.0, 3.0]], dtype=np.float32)
    made = with_rows(train, np.array([0, 1]), numbers, np.array([[5, 6], [7, 0]]), 1)
    assert len(made) == len(train) + 2
    np.testing.assert_array_equal(made.gather()[:-2, 0], train.gather()[:, 0])
    np.testing.assert_array_equal(made.gather()[-2:, 0, :2], numbers)
    assert np.isnan(made.gather()[-2:, 0, 2:]).all()
    np.testing.assert_array_equal(made.gather_categories()[-2:, 0], [[5, 6], [7, 0]])
    np.testing.assert_array_equal(made.targets[-2:, 0], [1, 1])
    np.testing.assert_array_equal(made.targets[:-2], train.targets)
    assert made.index.labelled.all()


def test_what_may_be_set() -> None:
    for name in ("boosting", "tabular_dense"):
        assert model_class(name).Settings.model_validate({"augmentation": {}}).augmentation == MinorityAugmentation()  # type: ignore[attr-defined]
    for name in ("tabular_logistic", "sequence_lstm", "isolation_forest", "autoencoder"):
        with pytest.raises(ValidationError, match="augmentation"):
            model_class(name).Settings.model_validate({"augmentation": {}})
    for wrong in ({"seeds": 2}, {"share": 0.0}, {"level": 0.2}, {"steps": 0}, {"smote": True}):
        with pytest.raises(ValidationError):
            MinorityAugmentation.model_validate(wrong)
