"""Imports run one way, no module works at import, and nothing in the product pickles."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
FORBIDDEN = {
    "flows": set(),
    "pipelines": {"prefect", "flows"},
    "models": {"prefect", "mlflow", "pipelines", "flows", "expectations"},
    "expectations": {"prefect", "mlflow", "pipelines", "flows", "models"},
}
HEAVY = ("torch", "pytorch_lightning", "mlflow", "prefect", "great_expectations", "deltalake", "statsmodels", "sklearn", "matplotlib")


def imports(path: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_imports_run_one_way(package: str) -> None:
    files = list((REPOSITORY / package).rglob("*.py"))
    assert files
    for path in files:
        assert imports(path).isdisjoint(FORBIDDEN[package]), path


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_nothing_pickles(package: str) -> None:
    for path in (REPOSITORY / package).rglob("*.py"):
        assert imports(path).isdisjoint({"pickle", "cloudpickle", "joblib", "dill", "shelve", "lightning"}), path


def test_the_command_line_imports_nothing_heavy() -> None:
    program = f"import sys, flows.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_definition_loads_without_anything_heavy() -> None:
    program = (
        "import sys; from pipelines.definition import load_definition; load_definition('index-price');"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_answers_at_once() -> None:
    """In processor seconds: the machine may be busy. Three tries, the best counts."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-m", "flows", "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert "backfill" in done.stdout
    assert min(seconds) < 0.6, "0.3 s on an idle machine; twice that is allowed here"
