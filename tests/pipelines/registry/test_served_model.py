"""Every model of the zoo can be served: from windows alone it answers as it does within a run, and as it did when it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.models.base import Hardware
from finflow.models.rows.tabular import TabularModel
from finflow.models.samples import Samples
from finflow.models.saving import save_model
from finflow.models.zoo import ZOO, model_class
from finflow.pipelines.core.errors import RegistryError
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.fits.data import cut, unfitted
from finflow.pipelines.registry.files import check_files
from finflow.pipelines.registry.golden_features import draw_features
from finflow.pipelines.registry.loader import GOLDEN_SAMPLES, read_served, write_served
from finflow.pipelines.registry.pyfunc import fitted_context, predict_windows
from finflow.pipelines.samples.windows import build_samples, task_of
from tests.support.pipelines.fit_support import definition, market
from tests.support.row_support import loan_rows, loan_values

SETTINGS: dict[str, dict[str, Any]] = {
    "recurrent": {"hidden": [4], "epochs": 1, "batch": 128},
    "cnn": {"channels": 4, "layers": 2, "epochs": 1, "batch": 128},
    "dense": {"hidden": [4], "epochs": 1, "batch": 128},
    "gan": {"hidden": 4, "noise": 2, "epochs": 1, "batch": 128, "paths": 20},
    "scenario_gan": {"epochs": 1, "channels": 3, "layers": 2, "critic": 3, "filter": 20},
    "autoencoder": {"epochs": 1, "hidden": [8], "reduced": 2},
    "sequence_cnn": {"epochs": 1, "length": 3, "calibration": {"method": "none"}},
    "sequence_lstm": {"epochs": 1, "length": 3, "calibration": {"method": "none"}},
    "tabular_dense": {"epochs": 1, "hidden": [8], "calibration": {"method": "none"}},
    "tabular_dense reduced": {"epochs": 1, "hidden": [8], "calibration": {"method": "none"}, "reduced": {"units": 3, "epochs": 1}},
    "var": {"series": ["log_range"]},
}

#: what forecasts variances alone
VARIANCES = ("ewma", "garch", "har", "last_variance")
#: what answers one return alone
RETURNS = ("garch_t", "historical_simulation")
#: what answers classes alone
CLASSES = ("class_frequency", "logistic", "majority")
#: what answers sample paths alone
PATHS = ("garch_paths", "scenario_gan", "stationary_bootstrap")
SCENARIOS = definition(
    problem={"kind": "generate", "every": "day", "paths": 100, "confidences": [0.95]},
    window={"length": 10, "horizon": 2},
    gate={"loss": "path_crps"},
)
TREND = definition(problem={"kind": "classify"}, window={"length": 10, "horizon": 2}, gate={"loss": "log_loss"})
ONE_STEP = definition(window={"length": 10, "horizon": 1})
VOLATILITY = definition(problem={"kind": "volatility"}, window={"length": 10, "horizon": 2})
#: what answers the outcomes of rows alone: numbers that may be missing, and categories
ROWS = tuple(name for name in ZOO if issubclass(model_class(name), TabularModel))
LOANS = parse_definition(
    loan_values(Path("loans.csv"), candidates={"majority": {"model": "majority"}}, baselines={"base-rate": {"model": "class_frequency"}})
)


#: what these tests do not look at (see test_golden_features.py)
FEATURES = draw_features(definition(), market(), build_samples(definition(), market()))


@pytest.fixture(scope="module")
def samples() -> Samples:
    return build_samples(definition(), market())


def asked_of(name: str) -> Definition | None:
    """The definition whose task such a model answers; None: any."""
    for names, asked in ((VARIANCES, VOLATILITY), (RETURNS, ONE_STEP), (CLASSES, TREND), (PATHS, SCENARIOS), (ROWS, LOANS)):
        if name in names:
            return asked
    return None


def fitted(name: str, samples: Samples, folder: Path, seed: int = 1, settings: dict[str, Any] | None = None) -> Path:
    """A fitted model's folder."""
    asked = asked_of(name) or (definition() if "__increment" in samples.columns else VOLATILITY)
    model = unfitted(name, settings or SETTINGS.get(name, {}), task_of(asked, samples.columns).to_dict())
    end = 400 if asked is not LOANS else 700  # a calibration needs some of each class
    train, validation = cut(samples, (np.arange(0, 300), np.arange(310, end)), model.context, folder)
    model.fit(train, validation, seed=seed, hardware=Hardware())
    save_model(model, folder / f"{name}-{seed}")
    return folder / f"{name}-{seed}"


@pytest.mark.parametrize("case", sorted({*ZOO, "tabular_dense reduced"}))
def test_every_model_is_served_as_it_was(case: str, samples: Samples, tmp_path: Path) -> None:
    folder, name = tmp_path / "version", case.partition(" ")[0]
    asked = asked_of(name) or definition()
    rows = loan_rows() if asked is LOANS else market()
    samples = build_samples(asked, rows) if asked_of(name) else samples
    features = draw_features(asked, rows, samples)
    write_served(folder, [fitted(name, samples, tmp_path, settings=SETTINGS.get(case))], samples, features, {})
    served = read_served(folder)
    assert served.manifest["context"] == served.model.context
    chosen = np.arange(5, len(samples), 97)
    within = served.model.predict(samples.take(chosen)).values
    context = served.model.context
    codes = samples.gather_categories(chosen, length=context) if served.model.task.categories else None
    alone = predict_windows(served.model, samples.gather(chosen, length=context), codes).values
    np.testing.assert_array_equal(alone, within)
    suffixes = {Path(file).suffix for file in check_files(folder)["files"]}
    assert suffixes <= {"", ".json", ".yaml", ".txt", ".safetensors", ".skops", ".parquet"}


def test_members_are_averaged(samples: Samples, tmp_path: Path) -> None:
    members = [fitted("dense", samples, tmp_path, seed) for seed in (1, 2)]
    write_served(tmp_path / "version", members, samples, FEATURES, {"candidate": "dense"})
    served = read_served(tmp_path / "version")
    from finflow.models.saving import load_model

    chosen = samples.take(np.arange(50))
    mean = np.mean([load_model(member).predict(chosen).values for member in members], axis=0, dtype=np.float64)
    np.testing.assert_allclose(served.model.predict(chosen).values, mean, rtol=1e-6, atol=1e-9)


def test_variances_are_served_by_an_ensemble_that_stands_on_har(tmp_path: Path) -> None:
    samples = build_samples(VOLATILITY, market())
    residual = {"hidden": [4], "epochs": 1, "loss": "qlike", "residual": "log_har_leverage"}
    members = [fitted("dense", samples, tmp_path, seed, residual) for seed in (1, 2)]
    write_served(tmp_path / "version", members, samples, FEATURES, {"candidate": "dense"})
    served = read_served(tmp_path / "version")
    assert served.model.context == 22, "a month, which is more than the window"
    windows = samples.gather(np.array([100, 200]), length=22)
    frame = served.predict(pd.DataFrame(windows[0], columns=list(samples.columns)))
    assert list(frame.columns) == ["h1", "h2"]
    np.testing.assert_array_equal(frame.to_numpy(dtype=np.float32), served.predict(windows)[:1])


def test_the_golden_batch_is_drawn_over_all_the_history(samples: Samples, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    write_served(tmp_path / "version", [fitted("random_walk", samples, tmp_path)], samples, FEATURES, {})
    golden = load_file(tmp_path / "version/data/served/golden.safetensors")
    assert golden["inputs"].shape[0] == golden["outputs"].shape[0] == GOLDEN_SAMPLES
    assert np.isnan(golden["inputs"][0]).any(), "the first sample has little before it, and its windows say so"
    np.testing.assert_array_equal(golden["inputs"][-1, -1], samples.observations.values[samples.index.row[samples.index.labelled][-1]])


def test_a_model_without_finite_answers_is_not_served(samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from finflow.models.forecasts.ridge import Ridge

    member = fitted("ridge", samples, tmp_path)
    original = Ridge.predict
    monkeypatch.setattr(
        Ridge, "predict", lambda self, view: replace(original(self, view), values=np.full_like(original(self, view).values, np.nan))
    )
    with pytest.raises(RegistryError, match="not finite on its golden batch"):
        write_served(tmp_path / "version", [member], samples, FEATURES, {})


def test_windows_of_any_length_become_the_context() -> None:
    windows = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    np.testing.assert_array_equal(fitted_context(windows, 2), windows[:, 1:])
    longer = fitted_context(windows, 5)
    assert longer.shape == (2, 5, 2)
    assert np.isnan(longer[:, :2]).all()
    np.testing.assert_array_equal(longer[:, 2:], windows)


def test_rows_with_categories_are_served_as_arrays_and_as_frames(tmp_path: Path) -> None:
    """A base rate answers anything; what is seen here is which inputs are taken, and that codes come through."""
    frame = loan_rows(500)
    samples = build_samples(LOANS, frame)
    model = unfitted("class_frequency", {}, task_of(LOANS, samples.columns).to_dict())
    train, validation = cut(samples, (np.arange(0, 300), np.arange(310, 400)), model.context, tmp_path)
    model.fit(train, validation, seed=0, hardware=Hardware())
    save_model(model, tmp_path / "member")
    write_served(tmp_path / "version", [tmp_path / "member"], samples, FEATURES, {})
    served = read_served(tmp_path / "version")
    arrays = {"values": samples.gather(), "categories": samples.gather_categories()}
    expected = served.model.predict(samples).values
    np.testing.assert_array_equal(served.predict(arrays), expected)
    answer = served.predict(frame.drop(columns="entity"))
    assert list(answer.columns) == ["good", "bad"]
    np.testing.assert_array_equal(answer.to_numpy(dtype=np.float32), expected)
    with pytest.raises(ValueError, match=r"codes of the categories purpose, region are absent; expected int64 of shape \(500, 1, 2\)"):
        served.predict(arrays["values"])
    with pytest.raises(ValueError, match="codes of the categories"):
        served.predict({**arrays, "categories": arrays["categories"][:, :, :1]})
    with pytest.raises(ValueError, match=r"has the keys \['values', 'weights'\]"):
        served.predict({"values": arrays["values"], "weights": 1})
    with pytest.raises(ValueError, match="column 'region' of the frame: holds a float32 of more than its six digits"):
        served.predict(frame.assign(region=np.float32(1 / 3)))
    with pytest.raises(ValueError, match="no column region"):
        served.predict(frame.drop(columns="region"))
    with pytest.raises(ValueError, match="not finite"):
        served.predict({**arrays, "values": np.full_like(arrays["values"], np.inf)})


def test_a_frame_says_what_the_training_table_said_or_is_refused(tmp_path: Path) -> None:
    frame = loan_rows(500)
    samples = build_samples(LOANS, frame)
    model = unfitted("tabular_logistic", {"calibration": {"method": "none"}}, task_of(LOANS, samples.columns).to_dict())
    train, validation = cut(samples, (np.arange(0, 300), np.arange(310, 400)), model.context, tmp_path)
    model.fit(train, validation, seed=0, hardware=Hardware())
    save_model(model, tmp_path / "member")
    write_served(tmp_path / "version", [tmp_path / "member"], samples, FEATURES, {})
    served = read_served(tmp_path / "version")
    asked = frame.drop(columns="entity")
    absent = asked["income"].astype(object).where(asked["income"].notna(), pd.NA)
    np.testing.assert_array_equal(served.predict(asked.assign(income=absent)), served.predict(asked))
    np.testing.assert_array_equal(served.predict(asked.assign(income=None)), served.predict(asked.assign(income=np.nan)))
    with pytest.raises(ValueError, match="column 'income' of the frame holds") as told:
        served.predict(asked.assign(income="Ada Lovelace"))
    assert "Lovelace" not in str(told.value)
    with pytest.raises(ValueError, match="1 rows of the frame have no entity"):
        served.predict(frame.assign(entity=frame["entity"].mask(frame.index == 3)))
    with pytest.raises(ValueError, match="has the column income more than once"):
        served.predict(pd.concat([asked, asked[["income"]]], axis=1))
    with np.errstate(all="raise"), pytest.raises(ValueError, match="not finite"):
        served.predict(asked.assign(income=1e300))
