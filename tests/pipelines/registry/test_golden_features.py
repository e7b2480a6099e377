"""A version is refused where the features of the same clean rows no longer come out: whatever the formula, the problem or the library."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from finflow.models.samples import Samples
from finflow.pipelines.core.errors import OutdatedError, RegistryError
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.features.kinds import FEATURES
from finflow.pipelines.registry.files import write_manifest
from finflow.pipelines.registry.golden_features import KEPT_ROWS, draw_features, replay_features, write_features
from finflow.pipelines.registry.loader import read_served
from finflow.pipelines.registry.versions import RegisteredVersion, load_version
from finflow.pipelines.samples.windows import build_samples, needed_history
from tests.support import REPOSITORY
from tests.support.patching import replace_everywhere
from tests.support.pipelines.fit_support import definition, market
from tests.support.pipelines.training_support import Trained, folder_of, promote, registered
from tests.support.risk_support import risk_values
from tests.support.row_support import loan_rows, loan_values

FORMULA = 'return _log(panel["high"]) - _log(panel["low"])'
BOOK = parse_definition(risk_values(problem={"kind": "risk", "weights": {"ALPHA": 0.6, "中国银行": 0.4}, "portfolio": "ALPHA"}))
KEYED = [{"kind": "mean_before", "column": "amount", "key": "region", "days": 30}, {"kind": "outcome_rate_before", "key": "purpose"}]
CARDS = {"kind": "card_transactions", "customers": 60, "terminals": 50, "days": 60, "fraud": 0.02, "seed": 2}
LOANS = parse_definition(loan_values(Path("loans.csv"), personal=["region", "nickname"]))
DEFINITIONS: dict[str, Definition] = {
    "forecast": definition(),
    "volatility": definition(problem={"kind": "volatility"}, window={"length": 10, "horizon": 2}),
    "classes": definition(problem={"kind": "classify"}, gate={"loss": "log_loss"}),
    "a portfolio": BOOK,
    "rows": LOANS,
    "rows by key": parse_definition(loan_values(Path("loans.csv"), features=[*loan_values(Path())["features"], *KEYED])),
    "transactions": parse_definition({**load_definition("card-fraud").model_dump(mode="json"), "source": CARDS}),
    "a long window": definition(window={"length": 250, "horizon": 2}),
}


def rows_of(made: Definition) -> pd.DataFrame:
    """Clean rows as they are read from the lake."""
    if made.name == "card-fraud":
        rows = made.source.read().sort_values(["entity", "time"], ignore_index=True)
        known_at = rows["time"].dt.tz_localize("UTC")
        return rows.assign(known_at=known_at, __corrected=known_at.where(rows.index % 9 == 0))  # as where a revision changed an outcome
    return loan_rows().assign(nickname="x") if made.problem.kind == "outcome" else market()


def written(made: Definition, folder: Path) -> dict[str, Any]:
    """A manifest, as far as features are tried by it."""
    folder.mkdir()
    clean = rows_of(made)
    facts = write_features(folder, draw_features(made, clean, build_samples(made, clean)))
    manifest: dict[str, Any] = json.loads(json.dumps({"definition": made.name, "code": "0.1+abc", "samples": facts}))
    return manifest


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_the_same_code_makes_the_same_features(name: str, tmp_path: Path) -> None:
    made = DEFINITIONS[name]
    replay_features(tmp_path / "made", written(made, tmp_path / "made"))
    clean = rows_of(made)
    samples = build_samples(made, clean)
    rows = draw_features(made, clean, samples).rows
    assert 20 <= len(rows) <= 2 * KEPT_ROWS + needed_history(made)
    few = build_samples(made, rows)
    assert len(few) >= 4, "there are whole samples among them"
    assert rows["time"].min() < clean["time"].quantile(0.2)
    assert rows["time"].max() > clean["time"].quantile(0.8), "from all over the history"


def test_the_features_of_series_are_those_that_the_model_has_learnt_from() -> None:
    made, clean = DEFINITIONS["forecast"], market()
    samples = build_samples(made, clean)
    few = build_samples(made, draw_features(made, clean, samples).rows)

    def by_row(view: Samples) -> dict[tuple[str, str], bytes]:
        names = [view.observations.entities[code] for code in view.index.entity]
        return {(name, str(time)): window.tobytes() for name, time, window in zip(names, view.index.time, view.gather(), strict=True)}

    whole = by_row(samples)
    same = [whole[place] == window for place, window in by_row(few).items()]
    assert sum(same) >= 16
    assert np.mean(same) > 0.5, "but for windows that would begin before the rows that were kept"


def other(kind: str, change: Callable[[Any], Any]) -> Any:
    """A feature kind whose formula is another one."""
    original = FEATURES[kind]
    return replace(original, function=lambda panel, feature: change(original.function(panel, feature)))


@pytest.mark.parametrize(
    ("name", "kind", "feature"),
    [
        ("forecast", "log_range", "log_range"),
        ("a portfolio", "log_return", "log_return"),
        ("rows", "value", "amount"),
        ("rows by key", "outcome_rate_before", "outcome_rate_before_purpose"),
    ],
)
def test_a_changed_formula_is_named(name: str, kind: str, feature: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = DEFINITIONS[name]
    manifest = written(made, tmp_path / "made")
    monkeypatch.setitem(FEATURES, kind, other(kind, lambda values: values * 1.001))
    words = rf"no longer come out of the same clean rows as when it was made: .*{feature} \(in \d+ of \d+ rows, by up to \S+\)"
    with pytest.raises(OutdatedError, match=rf"{words}.*Train again \(finflow train {made.name}\), or return to the code .* 0\.1\+abc"):
        replay_features(tmp_path / "made", manifest)


def test_rounding_is_no_change_and_a_missing_value_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = written(DEFINITIONS["forecast"], tmp_path / "made")
    with monkeypatch.context() as patch:
        patch.setitem(FEATURES, "log_range", other("log_range", lambda values: values * (1 + 2e-7)))
        replay_features(tmp_path / "made", manifest)
        patch.setitem(FEATURES, "log_range", other("log_range", lambda values: values * (1 + 2e-5)))
        with pytest.raises(OutdatedError, match="log_range"):
            replay_features(tmp_path / "made", manifest)
    smallest = other("log_range", lambda values: np.where(values == np.nanmin(values), np.nan, values))
    monkeypatch.setitem(FEATURES, "log_range", smallest)
    with pytest.raises(OutdatedError, match=r"log_range \(in 1 of"):
        replay_features(tmp_path / "made", manifest)


def test_what_stands_beside_the_features_is_tried_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = written(LOANS, tmp_path / "made")
    with monkeypatch.context() as patch:
        address = "finflow.models.rows.categories.category_codes"
        replace_everywhere(patch, address, lambda names: np.full(len(names), 7, dtype=np.int64))
        with pytest.raises(OutdatedError, match=r"purpose \(another code in \d+ of \d+ rows\)"):
            replay_features(tmp_path / "made", manifest)
    with monkeypatch.context() as patch:
        patch.setitem(FEATURES, "value", other("value", lambda values: np.where(values > np.nanmedian(values), np.inf, values)))
        with pytest.raises(OutdatedError, match="amount"):
            replay_features(tmp_path / "made", manifest)
    with mock.patch.dict(FEATURES):  # it gives the kind its place back: a page of the documentation lists them in order
        del FEATURES["value"]
        with pytest.raises(OutdatedError, match=r"they cannot be made any more.*no feature of kind 'value'"):
            replay_features(tmp_path / "made", manifest)


def test_changed_sources_and_libraries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = written(DEFINITIONS["forecast"], tmp_path / "made")
    monkeypatch.setitem(FEATURES, "log_range", other("log_range", lambda values: 2 * values))
    with pytest.raises(OutdatedError, match="no source and no library of samples has changed since: this machine works otherwise"):
        replay_features(tmp_path / "made", manifest)
    manifest["samples"]["sources"] |= {"finflow.pipelines.core.calendars": "other", "finflow.pipelines.features.panel": "other"}
    manifest["samples"]["releases"]["pandas"] = "2.9"
    with pytest.raises(
        OutdatedError,
        match=r"since then finflow\.pipelines\.core\.calendars, finflow\.pipelines\.features\.panel changed; pandas 2\.9 became 3",
    ) as told:
        replay_features(tmp_path / "made", manifest)
    assert told.value.change.startswith("its features come out otherwise: log_range (in ")


def test_personal_columns_that_nothing_reads_are_not_kept() -> None:
    clean = rows_of(LOANS)
    rows = draw_features(LOANS, clean, build_samples(LOANS, clean)).rows
    assert "region" in rows, "a feature reads it, as the pseudonym that the clean table holds"
    assert "nickname" not in rows


@pytest.fixture
def made(trained: Trained) -> RegisteredVersion:
    return registered(trained, "random-walk")


def test_a_version_keeps_rows_and_says_which_code_made_its_features(trained: Trained, made: RegisteredVersion) -> None:
    promote(trained, made, "random-walk")
    manifest = load_version(trained.context, made.version).manifest
    assert {"data/served/golden_rows.parquet", "data/served/golden_features.safetensors"} <= set(manifest["files"])
    recorded = manifest["samples"]
    assert recorded["columns"] == manifest["task"]["columns"]
    assert len(recorded["code"]) == 32
    assert {"finflow.pipelines.features.prices", "finflow.pipelines.features.point_in_time", "finflow.pipelines.samples.windows"} <= set(
        recorded["sources"]
    )


def test_a_champion_of_another_formula_is_refused(trained: Trained, made: RegisteredVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    promote(trained, made, "random-walk")
    load_version(trained.context, made.version)
    monkeypatch.setitem(FEATURES, "log_range", other("log_range", lambda values: 2 * values))
    with pytest.raises(OutdatedError, match=r"^version 1 of tiny is refused: its features no longer come out .*: log_range \(in "):
        load_version(trained.context, made.version)


def test_the_changed_formula_of_a_copy_of_the_sources_is_refused(trained: Trained, made: RegisteredVersion, tmp_path: Path) -> None:
    """The same version, loaded by a copy of finflow, and then by the same with a mended formula."""
    for package in ("pipelines", "models", "expectations"):
        shutil.copytree(REPOSITORY / package, tmp_path / "copy" / "finflow" / package, ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "import sys; from pathlib import Path\n"
        "from finflow.pipelines.core.errors import RegistryError\n"
        "from finflow.pipelines.registry.loader import read_served\n"
        "try:\n    read_served(Path(sys.argv[1])); print('served')\n"
        "except RegistryError as error:\n    print(error)"
    )

    def loaded() -> str:
        command = [sys.executable, "-c", program, str(folder_of(trained, made.version))]
        return subprocess.run(command, cwd=tmp_path / "copy", capture_output=True, text=True, check=True).stdout.strip()

    assert loaded() == "served"
    path = tmp_path / "copy/finflow/pipelines/features/prices.py"
    assert path.read_text().count(FORMULA) == 1
    path.write_text(path.read_text().replace(FORMULA, f"{FORMULA} + 1e-4"))
    assert "log_range (in " in (told := loaded())
    assert "since then finflow.pipelines.features.prices changed. " in told
    assert "Train again (finflow train tiny), or return to the code" in told


def test_a_version_of_the_format_before_is_refused(trained: Trained, made: RegisteredVersion) -> None:
    """As they were before this was looked at: whether its features are today's, nobody can say."""
    folder = folder_of(trained, made.version)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 1}))
    promote(trained, made, "random-walk")
    words = "it is of format 1, and this finflow reads format 2, which holds rows to try the features on. Train again."
    with pytest.raises(OutdatedError, match=f"version 1 of tiny is refused: .*{words}"):
        load_version(trained.context, made.version)
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 3}))
    with pytest.raises(RegistryError, match="is not of format 2") as told:
        load_version(trained.context, made.version)
    assert not isinstance(told.value, OutdatedError)


def test_a_version_without_its_rows_is_refused(trained: Trained, made: RegisteredVersion) -> None:
    folder = folder_of(trained, made.version)
    (folder / "data/served/golden_rows.parquet").unlink()
    promote(trained, made, "random-walk")
    with pytest.raises(RegistryError, match=r"golden_rows\.parquet is missing"):
        load_version(trained.context, made.version)
    facts = {key: value for key, value in json.loads((folder / "manifest.json").read_text()).items() if key not in ("format", "files")}
    (folder / "manifest.json").unlink()
    write_manifest(folder, facts)
    with pytest.raises(RegistryError, match="on which its features are tried cannot be read"):
        read_served(folder)


def test_the_rows_that_are_kept_are_few(tmp_path: Path) -> None:
    """So that trying them takes a moment, whatever the table's size."""
    for name in ("forecast", "rows by key", "a long window"):
        written(DEFINITIONS[name], tmp_path / name)
        assert sum(path.stat().st_size for path in (tmp_path / name).iterdir()) < 400_000, name
