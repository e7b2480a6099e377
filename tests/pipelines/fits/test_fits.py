"""Fits as jobs: keys, processes, reuse, failures, and what a killed run leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finflow.models.base import Hardware
from finflow.pipelines.core.errors import FitError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import FitSpec, PredictionResult
from finflow.pipelines.core.processes import Cores
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.fits.fits import carry_out, carry_out_all, fit_all, plan_fits, predict_fit, read_predictions, read_report, resolved
from finflow.pipelines.samples.folds import production_fold, select
from finflow.pipelines.samples.windows import open_samples
from tests.support import REPOSITORY
from tests.support.patching import replace_everywhere
from tests.support.pipelines.fit_support import definition, folds_of, listing, market, planned, recipes, record_of, stored

pytestmark = pytest.mark.usefixtures("own_models")


@pytest.fixture
def specs(home: Home) -> tuple[FitSpec, ...]:
    """A model with two seeds and one without chance, on every fold."""
    made = definition()
    samples = stored(made, home, market())
    return planned(made, home, samples, recipes(noisy={"model": "noisy"}, fixed={"model": "fixed"}))


def only(home: Home, model: str, place: Path | None = None) -> FitSpec:
    """One fit of a model on the first fold."""
    made = definition()
    settings = {} if place is None else {"place": str(place)}
    return planned(made, home, stored(made, home, market()), recipes(it={"model": model, "settings": settings}))[0]


def test_one_fit_a_fold_and_a_seed_where_seeds_matter(specs: tuple[FitSpec, ...]) -> None:
    folds = ["2016-07", "2017-01"]
    wanted = [("noisy", fold, seed) for fold in folds for seed in (1, 2)] + [("fixed", fold, 0) for fold in folds]
    assert [(spec.candidate, spec.fold.name, spec.seed) for spec in specs] == wanted
    assert len({spec.key for spec in specs}) == len(specs)


def test_fits_are_done_once_and_to_the_bit(specs: tuple[FitSpec, ...], home: Home, tmp_path: Path) -> None:
    seen: list[str] = []
    done = carry_out_all(specs, home, workers=2, on_done=lambda spec: seen.append(spec.key))
    assert sorted(seen) == sorted(spec.key for spec in specs)
    assert all(isinstance(result, PredictionResult) and not result.fit.reused for result in done)
    again = carry_out_all(specs, home, workers=2)
    assert all(isinstance(result, PredictionResult) and result.fit.reused and result.reused for result in again)
    other = replace(home, root=tmp_path / "other")
    for first, second in zip(done, carry_out_all(specs, other, workers=2), strict=True):
        assert isinstance(first, PredictionResult)
        assert isinstance(second, PredictionResult)
        np.testing.assert_array_equal(read_predictions(first)[1].values, read_predictions(second)[1].values)
    assert sorted(listing(home.fits)) == sorted([spec.key for spec in specs] + [Path(result.folder).name for result in done])  # type: ignore[union-attr]


def test_predictions_are_those_of_the_test_part(specs: tuple[FitSpec, ...], home: Home) -> None:
    spec = specs[0]
    result = predict_fit(spec, carry_out(spec, home), home)
    positions, prediction = read_predictions(result)
    samples = open_samples(spec.samples)
    np.testing.assert_array_equal(positions, select(spec.fold, samples.index, spec.embargo).test)
    assert prediction.values.shape == (len(positions), 2, 5)
    shift = prediction.values[:, 0, 2] - samples.take(positions).gather()[:, :, 0].mean(axis=1) * np.float32(0.01)
    assert np.ptp(shift) < 1e-6


def test_a_fit_says_what_happened_in_it(specs: tuple[FitSpec, ...], home: Home) -> None:
    result = carry_out(specs[0], home)
    report = read_report(result)
    assert report.best_epoch == 2
    assert [point["epoch"] for point in report.epochs] == [0, 1, 2]
    record = record_of(result.folder)
    assert record["report"]["notes"]["train"] == record["train"]
    assert record["libraries"]["torch"].startswith("2.13")


def test_names_times_and_places_are_no_part_of_a_key(specs: tuple[FitSpec, ...], home: Home) -> None:
    made = definition(name="another", title="Other words")
    elsewhere = replace(home, root=home.root / "elsewhere")
    samples = stored(made, elsewhere, market(), "other-name")
    same = planned(made, elsewhere, samples, recipes(called={"model": "noisy"}, otherwise={"model": "fixed"}))
    assert [spec.key for spec in same] == [spec.key for spec in specs]


def test_whatever_bears_on_the_numbers_is_part_of_the_key(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:

    made = definition()
    samples = stored(made, home, market())
    folds = folds_of(made, samples)[:1]
    plain = recipes(it={"model": "noisy"})

    def key(hardware: Hardware = Hardware(), seed: int = 1, chosen: object = plain) -> str:  # noqa: B008
        return plan_fits(open_context(made, home), samples, folds, chosen, hardware, (seed,))[0].key  # type: ignore[arg-type]

    keys = [key(), key(seed=2), key(Hardware(precision="64-true")), key(Hardware(threads=2)), key(chosen=recipes(it={"model": "fixed"}))]
    keys.append(key(chosen=recipes(it={"model": "noisy", "settings": {"width": 0.02}})))
    replace_everywhere(monkeypatch, "finflow.pipelines.core.code.library_versions", lambda: {"torch": "3"})
    keys.append(key())
    replace_everywhere(monkeypatch, "finflow.pipelines.core.code.code_digest", lambda model: "other code")
    keys.append(key())
    assert len(set(keys)) == len(keys)
    assert key(chosen=recipes(it={"model": "noisy", "settings": {"width": 0.01}})) == keys[-1], "a default written out is the same recipe"


def test_one_more_day_refits_only_what_it_touches(specs: tuple[FitSpec, ...], home: Home) -> None:
    carry_out_all(specs, home)
    made = definition()
    longer = stored(made, home, market(days=601), "longer", as_of="2017-04-24T21:00:00+00:00")
    later = planned(made, home, longer, recipes(noisy={"model": "noisy"}, fixed={"model": "fixed"}))
    assert [spec.key for spec in later] == [spec.key for spec in specs], "no training part reaches the new day"
    results = [result for result in carry_out_all(later, home) if isinstance(result, PredictionResult)]
    assert len(results) == len(later)
    assert all(result.fit.reused for result in results)
    assert [result.reused for result in results] == [spec.fold.name == "2016-07" for spec in later], (
        "the newest period has new test samples"
    )
    old, new = open_samples(specs[0].samples), open_samples(longer.folder)
    positions, prediction = read_predictions(results[0])
    assert len(positions) == len(prediction)
    assert set(new.index.time[positions]) == set(old.index.time[select(specs[0].fold, old.index, 2).test])


def test_a_production_fit_has_nothing_to_predict(home: Home) -> None:
    made = definition()
    samples = stored(made, home, market())
    fold = production_fold(made, open_samples(samples.folder).index, pd.Timestamp("2017-04-21", tz="UTC"))
    (spec,) = plan_fits(open_context(made, home), samples, (fold,), recipes(it={"model": "fixed"}), Hardware(), (1,))
    (result,) = fit_all([spec], home)
    assert not isinstance(result, FitError)
    assert listing(home.fits) == [spec.key]
    with pytest.raises(FitError, match="it, fold production, seed 0: there is no test sample"):
        predict_fit(spec, result, home)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("failing", r"it, fold 2016-07, seed 0: the loss is not finite in epoch 3$"),
        ("broken", r"it, fold 2016-07, seed 0: ZeroDivisionError: a bug What it printed: .*fit-[0-9a-f]+\.log"),
        ("dying", r"it, fold 2016-07, seed 0: its process was lost, ended by signal 9"),
    ],
)
def test_a_failed_fit_is_named_and_leaves_nothing(home: Home, model: str, message: str) -> None:
    with pytest.raises(FitError, match=message):
        carry_out(only(home, model), home)
    assert listing(home.fits) == []
    if model == "broken":
        assert "said before it broke" in next((home.root / "logs").iterdir()).read_text()


def test_failures_stand_in_their_places(home: Home) -> None:
    made = definition()
    samples = stored(made, home, market())
    results = carry_out_all(planned(made, home, samples, recipes(bad={"model": "failing"}, good={"model": "fixed"})), home)
    assert [isinstance(result, FitError) for result in results] == [True, True, False, False]


def test_two_at_once_want_the_same_fit_and_it_is_done_once(home: Home, tmp_path: Path) -> None:
    place = tmp_path / "counted"
    spec = only(home, "fixed", place)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: carry_out(spec, home), range(4)))
    assert len(place.read_text().splitlines()) == 1
    assert sorted(result.reused for result in results) == [False, True, True, True]


def test_samples_that_changed_after_planning_are_refused(home: Home) -> None:
    spec = only(home, "fixed")
    values = np.load(Path(spec.samples) / "values.npy")
    np.save(Path(spec.samples) / "values.npy", values + np.float32(1e-3))
    with pytest.raises(FitError, match="not those that the fit was planned for"):
        carry_out(spec, home)


def test_a_killed_run_leaves_a_job_that_the_next_one_removes_and_its_fit_ends_with_it(home: Home, tmp_path: Path) -> None:
    place = tmp_path / "counted"
    spec = only(home, "slow", place)
    program = (
        "import json, sys; from finflow.models.zoo import ZOO; from pathlib import Path; from finflow.pipelines.core.home import Home\n"
        "from finflow.pipelines.fits.worker import spec_from; from finflow.pipelines.fits.fits import carry_out\n"
        "if __name__ == '__main__':\n"
        "    ZOO['slow'] = 'tests.support.pipelines.fit_support:Slow'; spec, root = json.loads(sys.argv[1]), Path(sys.argv[2])\n"
        "    carry_out(spec_from(spec), Home(root, str(root), '', None))\n"
    )
    script = tmp_path / "run.py"
    script.write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    parent = subprocess.Popen([sys.executable, str(script), json.dumps(asdict(spec)), str(home.root)], env=environment, cwd=REPOSITORY)
    _wait_for(place.exists)
    worker = int(place.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _wait_for(lambda: not _runs(worker))
    assert [name.startswith(".job.") for name in listing(home.fits)] == [True], "only the job folder is there"
    Path(f"{place}.go").touch()
    assert only(home, "slow", place).key == spec.key, "planning again sweeps"
    assert listing(home.fits) == []
    assert not carry_out(spec, home).reused


def test_the_script_that_fits_is_not_run_again_in_the_fits_process(home: Home, tmp_path: Path) -> None:
    """Not even one that does not ask whether it is `__main__`."""
    spec = only(home, "fixed")
    script = tmp_path / "run.py"
    script.write_text(
        "import json, sys; from finflow.models.zoo import ZOO; from pathlib import Path; from finflow.pipelines.core.home import Home\n"
        "from finflow.pipelines.fits.worker import spec_from; from finflow.pipelines.fits.fits import carry_out\n"
        "spec, root, place = json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])\n"
        "with place.open('a') as stream: stream.write('run ')\n"
        "ZOO['fixed'] = 'tests.support.pipelines.fit_support:Fixed'\n"
        "carry_out(spec_from(spec), Home(root, str(root), '', None)); assert sys.modules['__main__'].spec is spec\n"
    )
    arguments = [json.dumps(asdict(spec)), str(home.root), str(tmp_path / "place")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, str(script), *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "place").read_text() == "run "
    assert listing(home.fits)


def test_a_program_of_its_own_gives_the_same_bits(
    specs: tuple[FitSpec, ...], home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What CUDA and several devices use; here with the processor."""
    import finflow.pipelines.fits.process as fit_process

    forked = predict_fit(specs[0], carry_out(specs[0], home), home)
    other = replace(home, root=tmp_path / "other")
    monkeypatch.setattr(fit_process, "_forked", fit_process._program)
    alone = predict_fit(specs[0], carry_out(specs[0], other), other)
    np.testing.assert_array_equal(read_predictions(alone)[1].values, read_predictions(forked)[1].values)
    with pytest.raises(FitError, match="the loss is not finite in epoch 3"):
        carry_out(only(other, "failing"), other)


def test_the_parent_loads_nothing_heavy(specs: tuple[FitSpec, ...], home: Home) -> None:
    program = (
        "import json, sys, finflow.pipelines.fits.fits, finflow.pipelines.core.code; from pathlib import Path; "
        "from finflow.pipelines.core.home import Home\n"
        "from finflow.pipelines.fits.data import unfitted; from finflow.models.zoo import ZOO; "
        "from finflow.pipelines.definitions.loading import load_definition\n"
        "from finflow.models.base import Task\n"
        "task = Task('quantiles', 1, (0.5,), (), ('a',), ('a',), 5).to_dict()\n"
        "for name in ZOO: unfitted(name, {'series': ['a']} if name == 'var' else {}, task); finflow.pipelines.core.code.code_digest(name)\n"
        "finflow.pipelines.core.code.library_versions(); load_definition('index-price')\n"
        "heavy = ('torch', 'pytorch_lightning', 'mlflow', 'statsmodels', 'sklearn', 'matplotlib', 'lightgbm')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "[]"


def test_accelerators_are_resolved_before_they_enter_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert resolved(Hardware("auto")).accelerator == "cpu"
    monkeypatch.setattr("finflow.pipelines.fits.fits._torch_sees_cuda", lambda: True)
    assert resolved(Hardware("gpu")) == resolved(Hardware("cuda"))
    with pytest.raises(FitError, match="accelerator 'tpu-9' is not known"):
        resolved(Hardware("tpu-9"))


def test_only_what_trains_on_devices_asks_for_them(home: Home) -> None:
    made = definition()
    samples = stored(made, home, market())
    chosen = recipes(noisy={"model": "noisy"}, ridge={"model": "ridge"})
    specs = {}
    for hardware in (Hardware(), Hardware(devices=2), Hardware(devices=2, strategy="ddp")):
        plan = plan_fits(open_context(made, home), samples, folds_of(made, samples)[:1], chosen, hardware, (1,))
        specs[hardware] = {spec.candidate: spec for spec in plan}
    one, some, named = specs.values()
    assert one["ridge"] == some["ridge"], "the ridge regression of one device is taken as it is"
    assert one["ridge"].hardware.devices == 1
    assert one["noisy"].key != some["noisy"].key
    assert some["noisy"] == named["noisy"], "ddp is what `auto` stands for"


def test_fits_of_several_processes_wait_for_their_cores() -> None:
    cores, running, seen = Cores(3), [0], []
    lock = threading.Lock()

    def work(wanted: int) -> None:
        with cores.taken(wanted):
            with lock:
                running[0] += min(wanted, 3)
                seen.append(running[0])
            time.sleep(0.01)
            with lock:
                running[0] -= min(wanted, 3)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [1, 2, 1, 2, 5, 1, 2, 3, 1, 1, 2, 2]))
    assert max(seen) == 3
    assert len(seen) == 12


def _wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def _runs(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
