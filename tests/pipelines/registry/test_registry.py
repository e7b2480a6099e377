"""Versions: registered once, served as they were, and refused before anything is loaded if anything about them changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from finflow.models.zoo import ZOO
from finflow.pipelines.core.code import library_versions
from finflow.pipelines.core.errors import RegistryError
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.promotions import Promotions
from finflow.pipelines.registry.files import EARLIER_LOADERS, write_manifest
from finflow.pipelines.registry.versions import RegisteredVersion, load_version, repair_aliases, withdraw
from finflow.pipelines.samples.windows import open_samples
from finflow.pipelines.tracking.store import store_client
from tests.support.patching import replace_everywhere
from tests.support.pipelines.training_support import Trained, folder_of, promote, registered


@pytest.fixture
def made(trained: Trained) -> RegisteredVersion:
    return registered(trained, "noisy")


@pytest.fixture
def promotions(trained: Trained, made: RegisteredVersion) -> Promotions:
    return promote(trained, made, "noisy")


def test_a_version_answers_as_the_mean_of_its_members(trained: Trained, made: RegisteredVersion, promotions: Promotions) -> None:
    from finflow.models.ensemble import average
    from finflow.models.saving import load_model

    served = load_version(trained.context, made.version)
    samples = open_samples(trained.samples.folder).take(np.arange(40))
    members = [load_model(Path(fit.folder) / "model").predict(samples) for fit in trained.production["noisy"]]
    np.testing.assert_array_equal(served.model.predict(samples).values, average(members).values)
    assert (served.name, served.version, served.manifest_digest) == ("tiny", 1, made.manifest_digest)
    assert served.task.columns == samples.columns
    assert served.manifest["candidate"] == "noisy"
    assert served.manifest["seeds"] == [1, 2]


def test_registering_again_gives_the_same_version(trained: Trained, made: RegisteredVersion) -> None:
    assert registered(trained, "noisy") == made
    assert registered(trained, "noisy", "another") != made
    client = store_client(trained.home)
    assert len(client.search_model_versions("name = 'tiny'")) == 2


@pytest.mark.parametrize("killed_at", ["log_model_artifacts", "finalize_logged_model", "create_model_version"])
def test_registration_cut_short_goes_on_where_it_stopped(trained: Trained, killed_at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, killed_at, _die)
        with pytest.raises(KeyboardInterrupt):
            registered(trained, "noisy")
    made = registered(trained, "noisy")
    assert made.version == 1
    promote(trained, made, "noisy")
    assert load_version(trained.context, 1).version == 1
    client = store_client(trained.home)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    assert len(client.search_logged_models([experiment.experiment_id])) == 1


def test_mlflow_loads_the_champion_from_arrays_and_frames(
    trained: Trained, made: RegisteredVersion, promotions: Promotions, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    repair_aliases(trained.context)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(trained.home.tracking_uri)
    try:
        pyfunc = mlflow.pyfunc.load_model("models:/tiny@champion")
    finally:
        mlflow.set_tracking_uri(before)
    samples = open_samples(trained.samples.folder)
    last = np.array([np.flatnonzero(samples.index.entity == code)[-1] for code in (0, 1)])
    expected = load_version(trained.context, made.version).model.predict(samples.take(last)).values
    windows = samples.gather(last)
    np.testing.assert_array_equal(pyfunc.predict(windows), expected)
    np.testing.assert_array_equal(pyfunc.predict(samples.gather(last, length=25)), expected)
    frame = pd.concat(
        pd.DataFrame(window, columns=list(samples.columns)).assign(entity=name)
        for window, name in zip(windows, samples.observations.entities, strict=True)
    )
    answer = pyfunc.predict(frame)
    assert list(answer.columns) == [f"h{h}_{q}" for h in (1, 2) for q in ("q05", "q25", "q50", "q75", "q95")]
    assert list(answer.index) == ["ALPHA", "中国银行"]
    np.testing.assert_array_equal(answer.to_numpy(dtype=np.float32), expected.reshape(2, -1))
    alone = pyfunc.predict(frame[frame["entity"] == "ALPHA"].drop(columns="entity"))
    np.testing.assert_array_equal(alone.to_numpy(dtype=np.float32), expected[:1].reshape(1, -1))
    assert load_version(trained.context, made.version).version == 1, "MLflow's note beside the files does no harm"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda windows, columns: windows[:, 1:], "at least 10 rows"),
        (lambda windows, columns: windows[:, :, 1:], "2?.?columns: log_return"),
        (lambda windows, columns: np.where(np.arange(10)[None, :, None] == 3, np.nan, windows), "not finite"),
        (lambda windows, columns: pd.DataFrame(windows[0], columns=columns).drop(columns="log_range"), "no column log_range"),
        (lambda windows, columns: pd.DataFrame(windows[0][:4], columns=columns), "has 4 rows; a window needs 10"),
    ],
)
def test_what_is_no_window_is_refused(trained: Trained, made: RegisteredVersion, change: Callable[..., Any], message: str) -> None:
    from finflow.pipelines.registry.loader import read_served

    samples = open_samples(trained.samples.folder)
    served = read_served(folder_of(trained, made.version))
    with pytest.raises(ValueError, match=message):
        served.predict(change(samples.gather(np.arange(2)), list(samples.columns)))


def _flip(folder: Path) -> None:
    path = next(folder.rglob("state.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def _extra(folder: Path) -> None:
    (folder / "data/served/notes.json").write_text("{}")


def _missing(folder: Path) -> None:
    (folder / "data/served/golden.safetensors").unlink()


def _link(folder: Path) -> None:
    path = folder / "requirements.txt"
    path.unlink()
    path.mkdir()


def _pickle(folder: Path) -> None:
    marker = folder.parent / "marker"
    (folder / "data/served/model.pkl").write_bytes(f"cos\nsystem\n(S'touch {marker}'\ntR.".encode())


def _loader(folder: Path) -> None:
    described = yaml.safe_load((folder / "MLmodel").read_text())
    described["flavors"]["python_function"]["loader_module"] = "hostile_loader"
    (folder / "MLmodel").write_text(yaml.safe_dump(described))


def _earlier(folder: Path) -> None:
    described = yaml.safe_load((folder / "MLmodel").read_text())
    described["flavors"]["python_function"]["loader_module"] = EARLIER_LOADERS[0]
    (folder / "MLmodel").write_text(yaml.safe_dump(described))


def _code(folder: Path) -> None:
    described = yaml.safe_load((folder / "MLmodel").read_text())
    described["flavors"]["python_function"]["code"] = "code"
    (folder / "MLmodel").write_text(yaml.safe_dump(described))
    (folder / "code").mkdir()
    (folder / "code/pipelines.py").write_text(f"open({str(folder.parent / 'marker')!r}, 'w')")


def _flavor(folder: Path) -> None:
    described = yaml.safe_load((folder / "MLmodel").read_text())
    described["flavors"]["sklearn"] = {"pickled_model": "model.pkl"}
    (folder / "MLmodel").write_text(yaml.safe_dump(described))


def _tagged(folder: Path) -> None:
    (folder / "MLmodel").write_text(f"!!python/object/apply:os.system ['touch {folder.parent / 'marker'}']")


def _manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tolerance": 1e9}))


CHANGES = {
    "a flipped byte": (_flip, "state.safetensors in the version was changed"),
    "an extra file": (_extra, "notes.json in the version is not in the version's manifest"),
    "a missing file": (_missing, "golden.safetensors is missing"),
    "a file of another kind": (_link, "requirements.txt is missing"),
    "a pickle": (_pickle, "model.pkl in the version: files of this kind are never loaded"),
    "another loader": (_loader, "names the loader 'hostile_loader'"),
    "the loader of an earlier finflow": (_earlier, r"made by an earlier finflow, whose loader was pipelines\.served_model\. Train again"),
    "code of its own": (_code, "code"),
    "another flavor": (_flavor, "sklearn"),
    "a YAML tag": (_tagged, "no MLmodel file"),
    "another manifest": (_manifest, "not the files that were promoted"),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_changed_version_is_refused_before_anything_is_loaded(
    trained: Trained, made: RegisteredVersion, promotions: Promotions, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, message = CHANGES[name]
    folder = folder_of(trained, made.version)
    change(folder)
    _hostile_loader(folder, monkeypatch)
    _nothing_is_loaded(monkeypatch)
    with pytest.raises(RegistryError, match=f"version 1 of tiny is refused: .*{message}"):
        load_version(trained.context, made.version)
    assert not (folder.parent / "marker").exists()


@pytest.mark.parametrize("name", ["a pickle", "another loader", "code of its own", "another flavor"])
def test_what_is_never_admitted_is_refused_though_manifest_and_promotions_agree(
    trained: Trained, made: RegisteredVersion, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, message = CHANGES[name]
    folder = folder_of(trained, made.version)
    change(folder)
    facts = {key: value for key, value in json.loads((folder / "manifest.json").read_text()).items() if key not in ("format", "files")}
    (folder / "manifest.json").unlink()
    promote(trained, RegisteredVersion(made.version, write_manifest(folder, facts)), "noisy")
    _hostile_loader(folder, monkeypatch)
    _nothing_is_loaded(monkeypatch)
    with pytest.raises(RegistryError, match=f"version 1 of tiny is refused: .*{message}"):
        load_version(trained.context, made.version)
    assert not (folder.parent / "marker").exists()


def test_a_link_is_refused(trained: Trained, made: RegisteredVersion) -> None:
    from finflow.pipelines.registry.files import check_files

    folder = folder_of(trained, made.version)
    (folder / "data/served/more.json").symlink_to(folder / "manifest.json")
    with pytest.raises(RegistryError, match="is a link or a device"):
        check_files(folder)


def test_a_swapped_version_is_refused(
    trained: Trained, made: RegisteredVersion, promotions: Promotions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version's files, whole and sound, under this one's number."""
    other = registered(trained, "ridge", "another")
    shutil.rmtree(folder_of(trained, made.version))
    shutil.copytree(folder_of(trained, other.version), folder_of(trained, made.version))
    _nothing_is_loaded(monkeypatch)
    with pytest.raises(RegistryError, match="not the files that were promoted"):
        load_version(trained.context, made.version)


def test_versions_that_never_were_champion_or_are_gone_are_refused(
    trained: Trained, made: RegisteredVersion, promotions: Promotions
) -> None:
    other = registered(trained, "ridge", "another")
    with pytest.raises(RegistryError, match="version 2 of tiny is not in the promotions table"):
        load_version(trained.context, other.version)
    shutil.rmtree(folder_of(trained, made.version))
    with pytest.raises(RegistryError, match="version 1 of tiny cannot be fetched"):
        load_version(trained.context, made.version)


def test_changed_code_is_refused_with_the_reason(
    trained: Trained, made: RegisteredVersion, promotions: Promotions, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.pipelines.fit_support import Noisy

    original = Noisy.predict

    def other(self: Noisy, samples: Any) -> Any:
        found = original(self, samples)
        return replace(found, values=found.values * np.float32(1.01))

    assert ZOO["noisy"] == "tests.support.pipelines.fit_support:Noisy"
    monkeypatch.setattr(Noisy, "predict", other)
    now = {**library_versions(), "numpy": "9.9"}
    replace_everywhere(monkeypatch, "finflow.pipelines.core.code.library_versions", lambda: now)
    with pytest.raises(
        RegistryError, match=r"no longer answers as it did when it was made: its golden batch differs by .*numpy 2\.\S+ became 9\.9"
    ):
        load_version(trained.context, made.version)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_never_promoted(trained: Trained, value: float) -> None:
    """A production fit that was damaged: nothing is registered, and no decision is recorded."""
    from safetensors.numpy import load_file, save_file

    for fit in trained.production["random-walk"]:
        path = next((trained.home.fits / fit.key).rglob("*.safetensors"))  # its own copy, not the one that tests share
        save_file({name: np.full_like(values, value) for name, values in load_file(path).items()}, path)
    with pytest.raises(RegistryError, match="not finite on its golden batch: it is not registered"):
        trained.conclude()  # would promote the reference
    assert Promotions(Lake(trained.home.lake), "tiny").rows() == []
    assert store_client(trained.home).search_model_versions("name = 'tiny'") == []


def test_a_model_of_another_signature_is_refused(trained: Trained, made: RegisteredVersion) -> None:
    """Manifest and promotions agree with the files, but the model answers another task than the manifest says."""
    folder = folder_of(trained, made.version)
    facts = {key: item for key, item in json.loads((folder / "manifest.json").read_text()).items() if key not in ("format", "files")}
    facts["task"]["columns"] = [*facts["task"]["columns"], "one_more"]
    (folder / "manifest.json").unlink()
    promote(trained, RegisteredVersion(made.version, write_manifest(folder, facts)), "noisy")
    with pytest.raises(RegistryError, match="answers another task than its manifest says"):
        load_version(trained.context, made.version)


def test_a_model_that_reads_more_than_it_says_is_not_registered(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.pipelines.fit_support import Noisy

    def greedy(self: Noisy, samples: Any) -> Any:
        from finflow.models.base import Prediction

        centre = np.nan_to_num(samples.gather(length=40))[:, :, 0].sum(axis=1)[:, None, None]
        return Prediction("quantiles", np.tile(centre, (1, 2, 5)).astype(np.float32), self.task.levels)

    monkeypatch.setattr(Noisy, "predict", greedy)
    with pytest.raises(RegistryError, match="reads more than the 10 observations that it says it does"):
        registered(trained, "noisy")


def test_the_alias_follows_the_promotions_table(trained: Trained, made: RegisteredVersion, promotions: Promotions) -> None:
    client = store_client(trained.home)
    repair_aliases(trained.context)
    assert client.get_registered_model("tiny").aliases == {"champion": 1}
    assert "it was better" in str(client.get_model_version("tiny", "1").description)
    second = registered(trained, "ridge", "another")
    promote(trained, second, "ridge", "demoted", "another")
    repair_aliases(trained.context)
    assert client.get_registered_model("tiny").aliases == {"champion": 2, "previous": 1}
    client.set_registered_model_alias("tiny", "champion", "1")
    repair_aliases(trained.context)
    assert client.get_registered_model("tiny").aliases["champion"] == 2, "a crash left it behind"
    third = registered(trained, "random-walk", "third")
    client.set_registered_model_alias("tiny", "champion", str(third.version))
    with pytest.raises(RegistryError, match="names version 3, which was never promoted; the promotions table says version 2"):
        repair_aliases(trained.context)


def test_a_version_that_no_decision_names_is_withdrawn(trained: Trained, made: RegisteredVersion, promotions: Promotions) -> None:
    other = registered(trained, "ridge", "another")
    assert withdraw(trained.context, "run") == [], "the champion stays"
    assert withdraw(trained.context, "another") == [other.version]
    assert [int(version.version) for version in store_client(trained.home).search_model_versions("name = 'tiny'")] == [made.version]
    assert registered(trained, "ridge", "another").version == other.version + 1, "its number is not given again"


def _die(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def _hostile_loader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a module of that name importable, which leaves a mark if anything imports it."""
    place = folder.parent / "hostile"
    place.mkdir()
    mark = f"open({str(folder.parent / 'marker')!r}, 'w')\n"
    (place / "hostile_loader.py").write_text(mark)
    monkeypatch.syspath_prepend(str(place))


def _nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever would load a model fails the test."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was loaded")

    replace_everywhere(monkeypatch, "finflow.models.saving.load_model", refuse)
    replace_everywhere(monkeypatch, "finflow.pipelines.registry.loader._read_golden", refuse)
