"""Generated training samples: kept where the validation part says that they help, and without a trace where it does not."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finflow.models.augmentation import Augmentation, judge
from finflow.models.base import Hardware, Task
from finflow.models.errors import FitFailure
from finflow.models.networks.augmentation_trial import date_blocks
from finflow.models.networks.modules.augmented_training import AugmentedTraining
from finflow.models.samples import Samples
from finflow.models.saving import load_model, save_model
from finflow.models.zoo import model_class
from tests.support.models.augmentation_cases import BRIEF, Drawn, Junk, from_truth, keep_always, scaled_part, trained, use_source
from tests.support.models.class_cases import class_panel
from tests.support.models.network_cases import noise, panel, product_of_lags, split
from tests.support.models.variance_cases import variance_panel
from tests.support.patching import replace_everywhere

FAMILIES = ("cnn", "dense", "recurrent")
PLANTED: dict[str, Any] = {"hidden": [64, 64], "epochs": 40, "batch": 32, "learning_rate": 0.005, "dropout": 0.0, "patience": 40}


@pytest.fixture(scope="module")
def data() -> tuple[Samples, Task]:
    return panel(noise(300))


def planted(days: int, seed: int) -> tuple[Samples, Task]:
    return panel([product_of_lags(days, 0.5, seed)], length=4, horizon=1)


def test_a_generator_that_draws_from_the_truth_is_kept_and_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few training samples of a strong structure, and as many fresh ones as wanted: what a perfect generator would bring."""
    few, (many, task) = planted(500, 1), planted(5000, 2)
    use_source(monkeypatch, lambda train, steps: from_truth(train, many, task))
    model, report = trained("dense", few, augmentation={"seeds": 3, "share": 4.0}, **PLANTED)
    plain, without = trained("dense", few, **PLANTED)
    found = report.notes["augmentation"]
    assert found["kept"], found
    assert min(found["gains"]) > 0
    assert max(found["p_seeds"], found["p_blocks"]) <= 0.05
    assert (len(report.epochs), report.notes["steps_an_epoch"]) == (len(without.epochs), without.notes["steps_an_epoch"])
    test = planted(3000, 3)[0]
    missed = [np.abs(test.targets - one.predict(test).median).mean() for one in (model, plain)]
    assert missed[0] < 0.95 * missed[1], "and so it is on data that nobody saw"


@pytest.mark.parametrize("name", FAMILIES)
def test_junk_is_refused_and_leaves_no_trace(name: str, data: tuple[Samples, Task], monkeypatch: pytest.MonkeyPatch) -> None:
    use_source(monkeypatch, lambda train, steps: Junk(train))
    model, report = trained(name, data, augmentation=BRIEF)
    plain, without = trained(name, data)
    assert report.notes["augmentation"]["kept"] is False
    assert len(report.notes["augmentation"]["gains"]) == 3
    assert report.epochs == without.epochs
    np.testing.assert_array_equal(model.predict(data[0]).values, plain.predict(data[0]).values)


@pytest.mark.parametrize("broken", ["nothing is finite", "it cannot be fitted"])
def test_a_trial_that_fails_is_a_reason_to_do_without(broken: str, data: tuple[Samples, Task], monkeypatch: pytest.MonkeyPatch) -> None:
    def make(train: Any, steps: int) -> Drawn:
        if broken == "it cannot be fitted":
            raise FitFailure(broken)
        return Drawn(torch.full((4, 8, 2), torch.nan), torch.zeros(4, 2))

    use_source(monkeypatch, make)
    model, report = trained("dense", data, augmentation=BRIEF)
    found = report.notes["augmentation"]
    assert not found["kept"]
    assert found["reason"].startswith("the trial failed: ")
    np.testing.assert_array_equal(model.predict(data[0]).values, trained("dense", data)[0].predict(data[0]).values)


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "quantile": (lambda: panel(noise(200)), {}),
    "student_t": (lambda: panel(noise(200)), {"loss": "student_t", "scaling": "minmax"}),
    "mse": (lambda: panel(noise(200)), {"loss": "mse", "scaling": "none"}),
    "level": (lambda: panel(noise(200)), {"predicts": "level"}),
    "variances": (lambda: variance_panel(days=300), {"loss": "qlike"}),
    "residual": (lambda: variance_panel(days=300), {"loss": "qlike", "residual": "log_har"}),
    "classes": (class_panel, {"loss": "cross_entropy"}),
}


@pytest.mark.parametrize("case", CASES)
def test_whatever_the_targets_are(case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Kept by force: the fit differs from the one without, is the same twice, and is saved without its generator."""
    make, settings = CASES[case]
    samples, task = made = make()
    keep_always(monkeypatch)
    drawn = []
    learn = AugmentedTraining.learn
    monkeypatch.setattr(AugmentedTraining, "learn", lambda self, w, t: (drawn.append(self), learn(self, w, t))[1])
    models = [trained("dense", made, augmentation=BRIEF, **settings)[0] for _ in range(2)]
    answers = [model.predict(samples).values for model in models]
    assert np.isfinite(answers[0]).all()
    np.testing.assert_array_equal(answers[0], answers[1])
    plain = trained("dense", made, **settings)[0]
    assert not np.array_equal(answers[0], plain.predict(samples).values)
    save_model(models[0], tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(samples).values, answers[0])
    assert [path.name for path in (tmp_path / "model" / "state").iterdir()] == ["weights.safetensors"]
    save_model(plain, tmp_path / "plain")
    sizes = [(tmp_path / name / "state" / "weights.safetensors").stat().st_size for name in ("model", "plain")]
    assert sizes[0] == sizes[1]
    training = drawn[0]
    windows, targets = training.source.draw(500, torch.Generator().manual_seed(3))
    real = training.parts["train"].batches.draw(np.arange(len(training.parts["train"])))
    assert windows.shape == (500, task.length, len(task.features))
    assert (windows.numpy() >= real.min((0, 1)) - 1e-6).all()
    assert (windows.numpy() <= real.max((0, 1)) + 1e-6).all()
    known = {row.tobytes() for row in training.parts["train"].targets}
    assert all(row.tobytes() in known for row in targets.numpy()), "targets are the training part's own"
    assert len(np.unique(windows.numpy().round(4), axis=0)) > 400, "no window twice"


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "bf16-true"])
def test_other_precisions(precision: str, data: tuple[Samples, Task], monkeypatch: pytest.MonkeyPatch) -> None:
    keep_always(monkeypatch)
    answers = [
        trained("dense", data, hardware=Hardware(precision=precision), augmentation=BRIEF)[0].predict(data[0]).values for _ in range(2)
    ]
    assert np.isfinite(answers[0]).all()
    np.testing.assert_array_equal(*answers)


def test_other_seeds_come_to_the_same_verdict(data: tuple[Samples, Task]) -> None:
    notes = [trained("dense", data, seed=seed, augmentation=BRIEF)[1].notes["augmentation"] for seed in (1, 2)]
    assert notes[0] == notes[1]
    json.dumps(notes[0], allow_nan=False)


def test_rows_after_the_training_part_do_not_reach_the_generator(data: tuple[Samples, Task], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows after the training part are noise: the same generator, to the bit. Rows after the validation part are noise: the same model."""
    from finflow.models.networks.modules import window_training

    keep_always(monkeypatch)
    sources: list[Any] = []
    fit = window_training.fit_generator
    replace_everywhere(
        monkeypatch,
        "finflow.models.networks.modules.window_training.fit_generator",
        lambda *given, **named: (sources.append(fit(*given, **named)), sources[-1])[1],
    )
    samples, _ = data
    models = [trained("dense", world, augmentation=BRIEF)[0] for world in (data, *(spoilt(data, part) for part in (0, 1)))]
    states = [source.state_dict() for source in sources]
    for state in states[1:]:
        assert all(torch.equal(value, state[name]) for name, value in states[0].items())
    known = samples.index.time <= np.unique(split(samples)[1].index.time)[-1]
    asked = samples.take(known)
    answers = [model.predict(asked).values for model in models]
    assert not np.array_equal(answers[0], answers[1]), "the validation part does bear on a network"
    np.testing.assert_array_equal(answers[0], answers[2])


def spoilt(data: tuple[Samples, Task], part: int) -> tuple[Samples, Task]:
    """The same samples, where all that lies after the labels of the training (0) or of the validation part (1) is noise, targets too."""
    samples, task = data
    end = split(samples)[part].index.label_end.max()
    random = np.random.default_rng(9)
    values, target = samples.observations.values.copy(), samples.targets.copy()
    later, unknown = samples.observations.time > end, samples.index.label_end > end
    values[later] += random.normal(0, 1, values[later].shape).astype(np.float32)
    target[unknown] += random.normal(0, 1, target[unknown].shape).astype(np.float32)
    observations = replace(samples.observations, values=values)
    return replace(samples, observations=observations, index=replace(samples.index, target=target)), task


def losses(gains: Any) -> tuple[Any, Any, Any]:
    """What `judge` takes for gains [pairs, blocks]."""
    gains = np.asarray(gains, dtype=float)
    return np.ones_like(gains), 1 - gains, np.full(gains.shape[1], 10)


def test_the_verdict_needs_seeds_and_dates() -> None:
    random = np.random.default_rng(0)
    even = 0.1 + 0.01 * random.standard_normal((4, 8))
    verdict = judge(*losses(even), 0.05)
    assert verdict.kept
    assert verdict.gains == pytest.approx(even.mean(axis=1))
    assert (verdict.loss, max(verdict.p_seeds or 1, verdict.p_blocks or 1) < 0.001) == (1.0, True)
    assert "no lower" in judge(*losses(-even), 0.05).reason
    of_one_seed = even * np.array([[1.0], [-0.5], [0.5], [-0.6]])
    assert "seeds" in judge(*losses(of_one_seed), 0.05).reason
    in_one_block = even * np.array([1.0, *[-0.08] * 7])
    assert "dates" in judge(*losses(in_one_block), 0.05).reason
    assert "too short" in judge(*losses(even[:, :1]), 0.05).reason
    assert not judge(*losses(np.full((4, 8), 0.1)), 0.05).kept, "without spread nothing can be tested"
    assert "not finite" in judge(*losses([[0.1, np.nan], [0.1, 0.1]]), 0.05).reason


def test_no_effect_is_kept_about_as_often_as_the_level_allows() -> None:
    """What is no gain but shared luck of the dates passes the seeds' test every other time, and both tests at the level at most."""
    random = np.random.default_rng(1)
    luck = random.standard_normal((600, 1, 8)) + 0.1 * random.standard_normal((600, 5, 8))
    verdicts = [judge(*losses(0.01 * one), 0.05) for one in luck]
    assert np.mean([(verdict.p_seeds or 1) < 0.05 for verdict in verdicts]) > 0.3
    assert np.mean([verdict.kept for verdict in verdicts]) < 0.06


def test_blocks_are_of_neighbouring_dates(data: tuple[Samples, Task]) -> None:
    index = split(data[0])[1].index
    blocks = date_blocks(index)
    assert len(blocks) == 8
    assert sorted(np.concatenate(blocks)) == list(range(len(index)))
    ends = [(index.time[block].min(), index.time[block].max()) for block in blocks]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ends))
    far = replace(index, label_end=index.time + np.timedelta64(14, "D"))
    assert len(date_blocks(far)) == len(np.unique(index.time)) // 28
    assert len(date_blocks(index.take(np.arange(3)))) == 1


def test_a_generator_learns_what_goes_with_a_class() -> None:
    """The last value of the second feature tells the class: so it must in generated windows, and the first must not."""
    from finflow.models.networks.modules.window_training import fit_generator

    samples, task = class_panel()
    seen: list[int] = []
    part = scaled_part(samples, task)
    draw = part.batches.draw
    part.batches.draw = lambda positions: (seen.append(len(positions)), draw(positions))[1]  # type: ignore[method-assign]
    torch.manual_seed(0)
    generator = fit_generator(part, 3, 300, seed=0)
    assert max(seen[1:]) <= 128, "real windows are gathered batch by batch"
    windows, targets = generator.draw(3000, torch.Generator().manual_seed(1))
    real = draw(np.arange(len(part)))
    for told, (own, codes) in {"real": (real, part.targets[:, 0]), "made": (windows.numpy(), targets.numpy()[:, 0])}.items():
        means = [own[codes == code, -1].mean(axis=0) for code in range(3)]
        assert means[2][1] - means[0][1] > 1.0, told
        assert abs(means[2][0] - means[0][0]) < 0.5, told
    assert np.abs(windows.numpy().std((0, 1)) / real.std((0, 1)) - 1).max() < 0.4


@pytest.mark.parametrize(
    "settings", [{"share": 0}, {"share": 5.0}, {"seeds": 2}, {"seeds": 3.5}, {"steps": 0}, {"level": 0.2}, {"level": "0.05"}, {"colour": 1}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"augmentation.{next(iter(settings))}"):
        model_class("dense").Settings.model_validate({"augmentation": settings})


def test_the_gan_says_why_it_takes_none() -> None:
    assert model_class("cnn").Settings.model_validate({"augmentation": {}}).augmentation == Augmentation()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="another generator's mistakes"):
        model_class("gan").Settings.model_validate({"augmentation": {}})


@pytest.mark.slow
def test_several_devices_train_with_generated_samples(data: tuple[Samples, Task], monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial runs on one device, so its verdict is the same; each process then draws samples of its own."""
    keep_always(monkeypatch)
    alone, together = (trained("dense", data, hardware=Hardware(devices=count), augmentation=BRIEF, dropout=0.0)[1] for count in (1, 2))
    assert together.notes["augmentation"] == alone.notes["augmentation"]
    for left, right in zip(alone.epochs, together.epochs, strict=True):
        assert right["validation_loss"] == pytest.approx(left["validation_loss"], rel=0.05)
