"""A wheel built from the tree works outside it, in a folder whose own packages are called as ours once were."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.support import REPOSITORY, tiny_values, write_definition
from tests.support.house import DOOR, files

#: what a person does in a notebook, and what MLflow alone does with the version that came of it
PROGRAM = """
import asyncio, importlib.metadata, mlflow, finflow
from pathlib import Path
from finflow.flows.deployments.automations import read_automations

async def cells():  # a notebook's cells run in an event loop
    tiny = finflow.load("tiny.yaml")
    trained = tiny.train(as_of="2017-06-30")
    print("trained", trained["decision"]["verdict"], trained["fitted"])
    print("scored", tiny.score("2017-07-14")["written"])
    model = mlflow.pyfunc.load_model("models:/tiny@champion")
    print("loaded", model.predict(tiny.samples().gather(slice(0, 3))).shape)

asyncio.run(cells())
print("from", Path(finflow.__file__).parents[1].name)
print("automations", len(read_automations()))
for entry in importlib.metadata.entry_points(group="mlflow.artifact_repository"):
    if entry.value.startswith("finflow"):
        print("entry point", entry.load().__module__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without the network, from a copy of what git knows: neither an earlier build nor an ignored file can slip in."""
    tree, built = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=REPOSITORY, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        if name and not name.startswith(("tests/", ".typing/")) and (REPOSITORY / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, tree / name)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "-w", str(built), str(tree)], check=True)
    (found,) = built.glob("finflow-*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_product(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = {path.relative_to(REPOSITORY).as_posix() for path in files().values()} - {f"{DOOR}/__init__.py"}
    data = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "pipelines" / "definitions").glob("*.yaml")}
    assert held == {"finflow/__init__.py"} | {f"finflow/{name}" for name in sources | data | {"infra/automations.yaml"}}


@pytest.mark.slow
def test_the_wheel_works_beside_packages_of_the_same_old_names(wheel: Path, tmp_path: Path) -> None:
    python = _environment_with(wheel, tmp_path / "environment")
    desk = tmp_path / "desk"
    for package in ("models", "flows", "pipelines", "expectations", "infra", "tests"):
        (desk / package).mkdir(parents=True)
        (desk / package / "__init__.py").write_text("raise RuntimeError('this is the package of somebody else')\n", encoding="utf-8")
    write_definition(desk / "tiny.yaml", tiny_values())
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PREFECT_", "MLFLOW_"))}
    environment |= {"FINFLOW_HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}

    def told(*command: str) -> str:
        done = subprocess.run(command, cwd=desk, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    command = str(python.with_name("finflow"))
    shipped = {path.stem for path in (REPOSITORY / "pipelines" / "definitions").glob("*.yaml")}
    assert {line.split()[0] for line in told(command, "list").splitlines()} == shipped
    assert told(command, "--version") == told(str(python), "-c", "import finflow; print('finflow', finflow.__version__)")
    lines = told(str(python), "-c", PROGRAM).splitlines()
    automations = yaml.safe_load((REPOSITORY / "infra" / "automations.yaml").read_text(encoding="utf-8"))
    assert lines == [
        "trained reference 8",
        "scored 4",
        "loaded (3, 2, 5)",
        "from site-packages",
        f"automations {len(automations)}",
        "entry point finflow.pipelines.tracking.store",
    ]


def _environment_with(wheel: Path, folder: Path) -> Path:
    """The Python of a new environment that has the wheel, and of this one the libraries; an editable finflow here does not reach it."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    here = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "libraries.pth").write_text("\n".join(here), encoding="utf-8")
    options = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(wheel)], check=True)
    return python
