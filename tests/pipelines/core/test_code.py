"""Which code a result depends on: the imports that a digest follows, where it ends, and that it never narrows silently."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from finflow.pipelines.backfill.walk_periods import periods
from finflow.pipelines.core import code
from finflow.pipelines.core import source_digests as walk
from finflow.pipelines.core.code import (
    code_digest,
    code_version,
    decision_code_digest,
    sample_code,
    sample_code_digest,
    walk_code_digest,
)
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.source_digests import PREFIX, source_digests
from finflow.pipelines.problems.classify import Classify
from finflow.pipelines.problems.forecast import Forecast
from finflow.pipelines.problems.generate import Generate
from finflow.pipelines.problems.outcome import Outcome
from finflow.pipelines.problems.risk import Risk
from tests.support import REPOSITORY
from tests.support.patching import replace_everywhere
from tests.support.pipelines.serving_support import LAST, make_market

#: what makes a feature, a window or a label: each was once missing from some list by hand
MAKE_SAMPLES = (
    *(
        "pipelines/samples/windows.py",
        "pipelines/samples/rows.py",
        "pipelines/features/kinds.py",
        "pipelines/features/prices.py",
        "pipelines/features/panel.py",
    ),
    *(
        "pipelines/features/point_in_time.py",
        "pipelines/features/variance_estimators.py",
        "pipelines/core/category_texts.py",
        "pipelines/core/calendars.py",
    ),
    *(
        "pipelines/lake/as_of.py",
        "pipelines/samples/features.py",
        "pipelines/settings/parts.py",
        "pipelines/problems/upcoming.py",
        "models/rows/categories.py",
    ),
)
DECIDE = (
    *(
        "pipelines/training/plan.py",
        "pipelines/training/conclusion.py",
        "pipelines/evaluation/evaluation.py",
        "pipelines/evaluation/inputs.py",
        "pipelines/training/gate.py",
    ),
    *(
        "pipelines/evaluation/comparisons.py",
        "pipelines/training/decisions.py",
        "pipelines/training/incumbent.py",
        "pipelines/registry/task_signature.py",
        "pipelines/samples/folds.py",
    ),
    *("pipelines/statistics/bootstrap.py", "pipelines/statistics/multiple.py", "pipelines/problems/quantile_scores.py"),
)
WALK = (
    "pipelines/backfill/walk_forward.py",
    "pipelines/backfill/walk_periods.py",
    "pipelines/data/contract.py",
    "pipelines/data/contract_rules.py",
)
#: what keeps, frees, shows and reaches servers, and bears on no number
BESIDE = (
    *(
        "pipelines/operating/pruning/run.py",
        "pipelines/training/report.py",
        "pipelines/lake/lake.py",
        "pipelines/tracking/store.py",
        "pipelines/evaluation/plots/training.py",
    ),
    *("pipelines/monitoring/run.py", "pipelines/scoring/score.py", "pipelines/backfill/run.py", "pipelines/core/home.py"),
)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Files are read once a process; here each test reads its own."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    for cached in (walk._read, walk._find, source_digests, code_version):
        cached.cache_clear()


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, made once; whoever changes it puts it right again."""
    root = tmp_path_factory.mktemp("copy")
    _copy_sources(root)
    return root


@pytest.fixture
def copy(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources, which digests are now taken of."""
    replace_everywhere(monkeypatch, "finflow.pipelines.core.source_digests.ROOT", copied)
    return copied


def _copy_sources(place: Path) -> None:
    for package in ("pipelines", "models", "expectations"):
        shutil.copytree(REPOSITORY / package, place / package, ignore=shutil.ignore_patterns("__pycache__", "*.yaml"))


def changing(root: Path, names: Iterable[str], digest: Callable[[], str]) -> set[str]:
    """Those of the files that give another digest while each is longer by a comment."""
    before = digest()
    found = set()
    for name in names:
        with rewritten(root / name, lambda text: text + "# changed\n"):
            if digest() != before:
                found.add(name)
    return found


@contextmanager
def rewritten(path: Path, change: Callable[[str], str]) -> Iterator[None]:
    """A file with another text; the old one is there again afterwards."""
    text = path.read_text(encoding="utf-8")
    path.write_text(change(text), encoding="utf-8")
    _forget()
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")
        _forget()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package of its own that can be imported by name."""
    files = {
        "house/__init__.py": "",
        "house/start.py": "import os\nfrom house.room import door\nif TYPE_CHECKING:\n    import house.types\n",
        "house/room/__init__.py": "from house.room.floor import wood\n",
        "house/room/door.py": "def opened():\n    try:\n        from house import deep\n    finally:\n        from .window import glass\n",
        "house/room/window.py": "import elsewhere.thing\nglass = 1\n",
        "house/room/floor.py": "wood = 1\n",
        "house/deep.py": "import house.registry\n",
        "house/registry.py": "import house.attic\n",
        "house/attic.py": "",
        "house/types.py": "",
        "house/garden.py": "",
        "elsewhere/__init__.py": "",
        "elsewhere/thing.py": "",
    }
    for name, text in files.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "tree")
    return tmp_path / "tree"


def test_imports_are_followed_wherever_they_stand(small: Path) -> None:
    found = source_digests(("house.start",), ("house",), ("house.registry",))
    rooms = {"house.room", "house.room.door", "house.room.window", "house.room.floor"}
    assert set(found) == {"house", "house.start", "house.deep", *rooms}, "not types for a checker, the registry, or another package"
    assert "house" not in sys.modules, "nothing is imported by being looked at"


def test_a_changed_deep_import_changes_the_digest_and_an_unrelated_file_does_not(small: Path) -> None:
    def digest() -> str:
        return str(sorted(source_digests(("house.start",), ("house",), ("house.registry",)).items()))

    deep = {"house/deep.py", "house/room/__init__.py", "house/__init__.py"}  # a package runs before what lies in it
    unrelated = {"house/garden.py", "house/types.py", "elsewhere/thing.py", "house/attic.py"}  # the last one: behind what was left out
    assert changing(small, deep | unrelated, digest) == deep


@pytest.mark.parametrize(
    ("starts", "follow", "without"),
    [
        (("house.gone",), ("house",), ()),
        (("house.start",), ("house", "house.gone"), ()),
        (("house.start",), ("house",), ("house.gone",)),
        (("gone",), ("house",), ()),
    ],
)
def test_an_address_that_is_not_there_is_an_error(
    small: Path, starts: tuple[str, ...], follow: tuple[str, ...], without: tuple[str, ...]
) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"there is no module (house\.)?gone, and a digest of code names it: correct the address"):
        source_digests(starts, follow, without)


def test_an_import_that_leads_nowhere_is_an_error(small: Path) -> None:
    (small / "house/deep.py").write_text("def later():\n    import house.moved\n")
    with pytest.raises(ModuleNotFoundError, match=r"there is no module house\.moved, and house\.deep imports it"):
        source_digests(("house.start",), ("house",))


def test_samples_and_walks_depend_on_what_makes_samples(copy: Path) -> None:
    assert changing(copy, MAKE_SAMPLES, lambda: sample_code_digest(Forecast)) == set(MAKE_SAMPLES)
    assert changing(copy, MAKE_SAMPLES, lambda: walk_code_digest(Forecast)) == set(MAKE_SAMPLES)


def test_decisions_and_walks_depend_on_what_decides(copy: Path) -> None:
    assert changing(copy, DECIDE, lambda: decision_code_digest(Forecast)) == set(DECIDE)
    assert changing(copy, DECIDE, lambda: walk_code_digest(Forecast)) == set(DECIDE)


def test_a_walk_depends_on_its_own_code_and_the_contract_too(copy: Path) -> None:
    assert changing(copy, WALK, lambda: walk_code_digest(Forecast)) == set(WALK)
    assert not changing(copy, WALK, lambda: sample_code_digest(Forecast) + decision_code_digest(Forecast))


def test_a_fit_depends_on_its_model_and_on_what_carries_it_out(copy: Path) -> None:
    runs = (
        "models/networks/dense.py",
        "models/networks/modules/dense.py",
        "models/networks/network.py",
        "models/networks/scaling.py",
        "models/samples.py",
        "models/saving.py",
    )
    around = {*runs, "pipelines/fits/data.py", "pipelines/fits/worker.py"}
    other = {
        "models/zoo.py",
        "models/variances/garch.py",
        "pipelines/samples/windows.py",
        "pipelines/features/prices.py",
        "pipelines/training/gate.py",
    }
    assert changing(copy, around | other, lambda: code_digest("dense")) == around


def test_what_keeps_frees_and_shows_changes_no_digest(copy: Path) -> None:
    def all_four() -> str:
        return code_digest("dense") + sample_code_digest(Outcome) + decision_code_digest(Outcome) + walk_code_digest(Outcome)

    assert not changing(copy, BESIDE, all_four)


def test_only_the_problem_that_is_meant_counts(copy: Path) -> None:
    files = {f"pipelines/problems/{name}.py" for name in ("forecast", "classify", "generate", "outcome", "risk", "portfolio")}
    expected = {Forecast: {"forecast"}, Classify: {"classify"}, Generate: {"generate", "forecast"}, Risk: {"risk", "portfolio"}}
    for problem, names in expected.items():
        found = changing(copy, files, lambda problem=problem: sample_code_digest(problem))  # type: ignore[misc]
        assert found >= {f"pipelines/problems/{name}.py" for name in names}
        assert "pipelines/problems/outcome.py" not in found


@pytest.mark.parametrize("problem", [Forecast, Classify, Generate, Outcome, Risk])
def test_no_digest_takes_in_the_whole_program(problem: type) -> None:
    doors = {
        "finflow.pipelines.registry.versions",
        "finflow.pipelines.training.tracking",
        "finflow.pipelines.operating.pruning.run",
        "finflow.pipelines.scoring.score",
        "finflow.pipelines.sources.yahoo",
        "finflow.pipelines.sinks",
    }
    assert set(sample_code(problem)).isdisjoint({*doors, "finflow.pipelines.training.gate", "finflow.pipelines.data.contract"})
    found = code._for_problem(problem, (*code._WALKS, *code._SAMPLES, *code._DECISIONS))
    assert set(found).isdisjoint({*doors, "finflow.models.zoo", "finflow.pipelines.problems"})


def test_a_moved_file_that_is_named_is_missed(copy: Path) -> None:
    (copy / "pipelines/training/gate.py").rename(copy / "pipelines/doorkeeper.py")
    try:
        with pytest.raises(ModuleNotFoundError, match=r"no module finflow\.pipelines\.training\.gate, and a digest of code names it"):
            decision_code_digest(Forecast)
    finally:
        (copy / "pipelines/doorkeeper.py").rename(copy / "pipelines/training/gate.py")


def test_a_model_of_ones_own_brings_its_neighbours(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from finflow.models.zoo import ZOO

    monkeypatch.setitem(ZOO, "own", "house.room.door:Door")
    files = ("house/room/door.py", "house/room/window.py", "house/deep.py")
    assert changing(small, files, lambda: code_digest("own")) == set(files[:2]), "the last one lies outside its package"


def test_a_changed_formula_begins_a_new_walk(home: Home, copy: Path) -> None:
    market = make_market(home)

    def keys() -> list[str]:
        raw = market.clean().raw
        return [period.key for period in periods(market.context, raw, "quarterly", LAST)]

    before = keys()
    formula = 'return _log(panel["high"]) - _log(panel["low"])'
    path = copy / "pipelines/features/prices.py"
    assert path.read_text().count(formula) == 1
    with rewritten(path, lambda text: text.replace(formula, f"{formula} + 1e-3")):
        after = keys()
    with rewritten(copy / "pipelines/operating/pruning/run.py", lambda text: text + "# changed\n"):
        assert keys() == before
    assert len(before) == len(after) > 0
    assert set(before).isdisjoint(after)


def test_the_packages_may_lie_in_another(tmp_path: Path) -> None:
    """As they do where they are installed as `finflow.pipelines` and so on."""
    _copy_sources(tmp_path / "finflow")
    for path in (tmp_path / "finflow").rglob("*.py"):
        text = re.sub(r"^(\s*(?:from|import) )(pipelines|models|expectations)\b", r"\1finflow.\2", path.read_text(), flags=re.M)
        path.write_text(re.sub(r'"models\.(\w+):', r'"finflow.models.\1:', text))
    (tmp_path / "finflow/flows").mkdir()
    (tmp_path / "finflow/flows/train.py").write_text("")
    program = (
        "from finflow.pipelines.core.code import code_digest, code_version, sample_code, walk_code_digest\n"
        "from finflow.pipelines.problems.forecast import Forecast\n"
        "code_digest('dense'); walk_code_digest(Forecast); code_version(); print(*sample_code(Forecast))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    here = {name.removeprefix(PREFIX) for name in sample_code(Forecast)}
    assert {name.removeprefix("finflow.") for name in done.stdout.split()} == here
    assert all(name.startswith("finflow.") for name in done.stdout.split())


def test_the_version_of_the_code_is_of_all_sources_and_missed_where_there_are_none(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_everywhere(monkeypatch, "finflow.pipelines.core.source_digests.ROOT", small)
    replace_everywhere(monkeypatch, "finflow.pipelines.core.source_digests.PACKAGES", ("house", "attic"))
    with pytest.raises(FileNotFoundError, match="attic holds no sources: expected finflow's package attic"):
        code_version()
    replace_everywhere(monkeypatch, "finflow.pipelines.core.source_digests.PACKAGES", ("house", "elsewhere"))
    assert re.fullmatch(r"[\d.]+\+[0-9a-f]{12}", code_version())
    assert changing(small, ["house/garden.py"], code_version)
