"""The house: its rooms, which of them may import which, no circle of files, no name in a text that is not there."""

from __future__ import annotations

import ast
import graphlib
import importlib.util
import re
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support import REPOSITORY
from tests.support.house import DOOR, PACKAGES, PARTS, files, graph, imported_names, module_in, names_in, room_of

#: packages that the files of one may not import, anywhere in them
FORBIDDEN = {
    "flows": set(),
    "pipelines": {"prefect", "finflow.flows"},
    "models": {"prefect", "mlflow", "finflow.pipelines", "finflow.flows", "finflow.expectations"},
    "expectations": {"prefect", "mlflow", "finflow.pipelines", "finflow.flows", "finflow.models"},
}
#: by room, the rooms that it imports; `modules/` and `rules/` are part of the room around them
ROOMS = {
    "expectations": "",
    "finflow.flows.__main__": "flows/command_line",
    "flows": (
        "flows/deployments flows/runs models pipelines/backfill pipelines/core pipelines/data pipelines/definitions pipelines/fits "
        "pipelines/leakage pipelines/monitoring pipelines/operating pipelines/samples pipelines/scoring pipelines/tracking "
        "pipelines/training"
    ),
    "flows/command_line": (
        "flows flows/deployments flows/runs flows/servers pipelines/backfill pipelines/core pipelines/definitions pipelines/drafts "
        "pipelines/fits pipelines/leakage pipelines/operating pipelines/operating/pruning pipelines/operating/verification "
        "pipelines/scoring pipelines/tracking pipelines/training"
    ),
    "flows/deployments": "flows/runs pipelines/core pipelines/definitions pipelines/operating pipelines/settings",
    "flows/interface": (
        "flows/command_line flows/servers pipelines/backfill pipelines/core pipelines/data pipelines/definitions "
        "pipelines/evaluation pipelines/lake pipelines/registry pipelines/samples pipelines/scoring pipelines/training"
    ),
    "flows/package": "flows/interface pipelines/core",
    "flows/runs": "pipelines/core pipelines/definitions",
    "flows/servers": "flows flows/deployments flows/runs models pipelines/core pipelines/definitions pipelines/tracking",
    "models": "",
    "models/classes": "models",
    "models/forecasts": "models",
    "models/networks": "models models/variances",
    "models/paths": "models models/networks models/risk models/variances",
    "models/risk": "models models/variances",
    "models/row_networks": "models models/networks models/rows",
    "models/rows": "models models/classes",
    "models/variances": "models",
    "pipelines": "",
    "pipelines/backfill": (
        "models pipelines/core pipelines/data pipelines/definitions pipelines/evaluation pipelines/fits pipelines/lake pipelines/registry "
        "pipelines/samples pipelines/scoring pipelines/tracking pipelines/training"
    ),
    "pipelines/core": "models",
    "pipelines/data": "expectations pipelines/core pipelines/definitions pipelines/features pipelines/lake",
    "pipelines/definitions": (
        "models pipelines/core pipelines/features pipelines/lake pipelines/problems pipelines/settings pipelines/sinks pipelines/sources"
    ),
    "pipelines/drafts": "pipelines/core pipelines/settings pipelines/sources",
    "pipelines/evaluation": "models pipelines/core pipelines/problems pipelines/samples pipelines/statistics",
    "pipelines/evaluation/plots": "models pipelines/core pipelines/evaluation pipelines/fits pipelines/problems",
    "pipelines/features": "pipelines/core",
    "pipelines/fits": "models pipelines/core pipelines/definitions pipelines/samples pipelines/settings",
    "pipelines/lake": "pipelines/core",
    "pipelines/leakage": (
        "models pipelines/core pipelines/data pipelines/definitions pipelines/evaluation pipelines/features pipelines/lake "
        "pipelines/problems pipelines/samples pipelines/statistics"
    ),
    "pipelines/monitoring": (
        "models pipelines/core pipelines/data pipelines/definitions pipelines/evaluation pipelines/fits "
        "pipelines/lake pipelines/samples pipelines/settings pipelines/statistics pipelines/tracking"
    ),
    "pipelines/operating": (
        "models pipelines/backfill pipelines/core pipelines/data pipelines/definitions pipelines/fits pipelines/lake pipelines/registry "
        "pipelines/samples pipelines/settings pipelines/training"
    ),
    "pipelines/operating/pruning": "pipelines/core pipelines/fits pipelines/lake pipelines/tracking",
    "pipelines/operating/verification": (
        "pipelines/core pipelines/definitions pipelines/evaluation pipelines/lake pipelines/operating pipelines/registry "
        "pipelines/settings pipelines/tracking pipelines/training"
    ),
    "pipelines/problems": (
        "models pipelines/core pipelines/features pipelines/lake pipelines/sources pipelines/statistics pipelines/statistics/risk "
        "pipelines/statistics/risk_backtests"
    ),
    "pipelines/registry": (
        "models models/rows pipelines/core pipelines/data pipelines/definitions pipelines/features pipelines/lake pipelines/problems "
        "pipelines/samples pipelines/settings pipelines/tracking"
    ),
    "pipelines/samples": (
        "models models/rows pipelines/core pipelines/data pipelines/definitions pipelines/features pipelines/lake pipelines/problems"
    ),
    "pipelines/scoring": "models pipelines/core pipelines/data pipelines/definitions pipelines/lake pipelines/registry pipelines/samples",
    "pipelines/settings": "pipelines/core",
    "pipelines/sinks": "pipelines/core",
    "pipelines/sources": "pipelines/core",
    "pipelines/statistics": "",
    "pipelines/statistics/risk": "",
    "pipelines/statistics/risk_backtests": "",
    "pipelines/tracking": "pipelines/core",
    "pipelines/training": (
        "models pipelines/core pipelines/definitions pipelines/evaluation pipelines/evaluation/plots pipelines/fits pipelines/lake "
        "pipelines/registry pipelines/samples pipelines/settings pipelines/tracking"
    ),
}
MAY_IMPORT = {room: set(rooms.split()) for room, rooms in ROOMS.items()}
HEAVY = ("torch", "pytorch_lightning", "mlflow", "prefect", "great_expectations", "deltalake", "statsmodels", "sklearn", "matplotlib")
#: files whose text may name modules and paths; a test with a wrong name fails by itself
TEXTS = ("*.py", "*.toml", "*.yaml", "*.md", "*.sh", "Makefile", "Dockerfile")
#: the names of before the move: a version that was made then names its loader
EARLIER = {"pipelines.served_model"}


def imports(path: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it and for types too; of ours, finflow.flows and so on."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "finflow" else [f"finflow.{alias.name}" for alias in node.names]
        found |= {".".join(name.split(".")[: 2 if name.startswith("finflow.") else 1]) for name in names}
    return found


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_imports_run_one_way(package: str) -> None:
    paths = list((REPOSITORY / package).rglob("*.py"))
    assert paths
    for path in paths:
        assert imports(path).isdisjoint(FORBIDDEN[package]), path


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_nothing_pickles(package: str) -> None:
    for path in (REPOSITORY / package).rglob("*.py"):
        assert imports(path).isdisjoint({"pickle", "cloudpickle", "joblib", "dill", "shelve", "lightning"}), path


def test_the_rooms_are_these() -> None:
    assert {room_of(module) for module in files()} == set(MAY_IMPORT)


def test_a_room_says_in_one_sentence_what_it_is() -> None:
    for module, path in files().items():
        if path.name == "__init__.py":
            said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            assert said, f"{module} has no docstring"
            first = said.partition("\n\n")[0]
            one_sentence = first.endswith((".", "?")) and len(first) <= 240
            assert one_sentence, f"{module}: its docstring begins with one sentence that says what the room is: {first!r}"


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_what_it_may(room: str) -> None:
    found: dict[str, str] = {}
    for module, imported in graph().items():
        if room_of(module) == room:
            found |= {room_of(other): f"{module} imports {other}" for other in sorted(imported) if room_of(other) != room}
    assert set(found) - MAY_IMPORT[room] == set(), [found[other] for other in set(found) - MAY_IMPORT[room]]
    assert MAY_IMPORT[room] - set(found) == set(), "it may, and does not: take it out of MAY_IMPORT"


def test_rooms_import_downwards_only() -> None:
    graphlib.TopologicalSorter(MAY_IMPORT).prepare()


def test_no_two_files_import_each_other_in_a_circle() -> None:
    graphlib.TopologicalSorter(graph()).prepare()


def test_every_module_named_in_a_text_is_there() -> None:
    """An import sorter sees imports alone; a wrong name in the list of the fork server would only make every fit start cold."""
    for path in _texts():
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"(?<![\w.])finflow(?:\.\w+)+(?::\w+)?", text):
            if name.split(".")[1] not in PACKAGES:
                continue
            dotted, _, attribute = name.partition(":")
            module = module_in(dotted)
            left = [*dotted.removeprefix(str(module)).strip(".").split("."), attribute]
            first = next((part for part in left if part), None)
            assert module is not None, f"{path}: {name}"
            assert first is None or first in names_in(files()[module]), f"{path}: {name}: no {first} in {module}"


def test_no_text_names_a_module_as_it_was_imported_once() -> None:
    pattern = rf"(?<![\w./-])((?:{'|'.join(PACKAGES)})\.[a-z_]\w*)\b(?!\.?\()"
    for path in _texts():
        for name in re.findall(pattern, path.read_text(encoding="utf-8")):
            assert module_in(f"finflow.{name}") in (None, f"finflow.{name.partition('.')[0]}") or name in EARLIER, f"{path}: {name}"


def test_every_file_named_in_a_text_is_there() -> None:
    for path in _texts():
        for name in re.findall(
            rf"(?<![\w./-])((?:{'|'.join((*PACKAGES, 'tests', 'infra'))})/[\w/.-]*\w\.(?:py|yaml|md|sh))\b", path.read_text("utf-8")
        ):
            assert (REPOSITORY / name).exists() or (REPOSITORY / "tests" / name).exists(), f"{path}: {name}"


def test_what_is_started_or_loaded_by_name_can_be() -> None:
    from finflow.flows.deployments.plan import KINDS
    from finflow.models.saving import ENSEMBLE_CLASS
    from finflow.models.zoo import ZOO
    from finflow.pipelines.fits.process import PRELOAD
    from finflow.pipelines.registry.files import LOADER

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    addresses = [
        *project["scripts"].values(),
        *project["entry-points"]["mlflow.artifact_repository"].values(),
        *ZOO.values(),
        ENSEMBLE_CLASS,
    ]
    addresses += [":".join(kind.entrypoint.rsplit(".", 1)) for kind in KINDS]
    for address in addresses:
        module, _, name = address.partition(":")
        assert name in names_in(files()[module]), address
    for module in (*PRELOAD, LOADER):
        assert module in files() if module.startswith("finflow.") else importlib.util.find_spec(module), module


def test_every_package_folder_is_installed() -> None:
    """A folder that is missing in the list works in a checkout, and not from a wheel."""
    setuptools = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {path.parent.relative_to(REPOSITORY).as_posix() for path in files().values()} | {"infra"}
    installed = {"finflow": DOOR} | {f"finflow.{folder.replace('/', '.')}": folder for folder in folders - {DOOR}}
    assert setuptools["packages"] == sorted(installed)
    assert setuptools["package-dir"] == installed
    for folder in folders - {"infra"}:
        assert (REPOSITORY / folder / "__init__.py").is_file(), folder


def test_types_are_checked_under_the_names_that_are_imported() -> None:
    links = REPOSITORY / ".typing" / "finflow"
    door = {"__init__.py": files()["finflow"]}
    assert {link.name: link.resolve() for link in links.iterdir()} == {package: REPOSITORY / package for package in PACKAGES} | door


def test_no_test_file_imports_another() -> None:
    for path in (REPOSITORY / "tests").rglob("*.py"):
        taken = [name for name in imported_names(path) if name.startswith("tests.") and re.search(r"\.(test_\w+|conftest)\b", name)]
        assert taken == [], path


def test_tests_stand_where_what_they_test_stands() -> None:
    for package in PACKAGES:
        for path in (REPOSITORY / "tests" / package).rglob("test_*.py"):
            folder = path.parent.relative_to(REPOSITORY / "tests")
            assert (REPOSITORY / folder).is_dir(), path
    assert not {part for part in PARTS if (REPOSITORY / "tests" / part).exists()}


def _texts() -> list[Path]:
    ignored = {".git", ".venv", ".finflow", ".typing", "build", "reports", "__pycache__"}
    found = [path for pattern in TEXTS for path in REPOSITORY.rglob(pattern)]
    return [path for path in found if not ignored & set(path.relative_to(REPOSITORY).parts) and not path.name.startswith("test_")]


def test_the_command_line_imports_nothing_heavy() -> None:
    program = f"import sys, finflow.flows.command_line.app; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_definition_loads_without_anything_heavy() -> None:
    program = (
        "import sys; from finflow.pipelines.definitions.loading import load_definition; load_definition('index-price');"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_answers_at_once() -> None:
    """In processor seconds: the machine may be busy. Three tries, the best counts."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-m", "finflow.flows", "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert "backfill" in done.stdout
    assert min(seconds) < 0.6, "0.3 s on an idle machine; twice that is allowed here"
