"""The code that a result depends on, told from the imports of the sources alone; and which finflow this is.

One walk over the import graph (`source_digests`) answers four questions: which code a fit's numbers come from, which makes samples, which
turns predictions into a decision, and which all of that in a walk forward. Imports count wherever they stand, within functions too, but for
those that only a type checker sees. Nothing that is looked at is imported.

How the boundaries are drawn. A new module counts by being imported, without anybody thinking of it; what does not count is named:

- registries (LEFT_OUT, first line): they name every model, problem, source and sink, and run none. The one that is meant is a start.
- what keeps, fetches, logs or shows (the lines after it): the rows, settings and fits that go through it are in the key by their content.
  Through these doors functions reach nearly the whole program; `prune` must not make anybody fit again.
- for a fit, all of pipelines/ but what carries it out: the rows that it reads are in its key.
- for a decision, what makes samples: it shows in the keys of the fits.

What a function is handed as an argument, its imports do not show: `finflow.pipelines.settings.parts`, whose features say what they read, is
a start. A start, a package to follow, or a module to leave out that is not there is an error, so that moving a file cannot narrow a digest
silently.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from finflow.models.zoo import ZOO
from finflow.pipelines.core.digest import digest_file, digest_json

#: what stands before `pipelines` in the names that finflow's packages are imported by, with its dot: nothing, where they stand alone
PREFIX = __name__.partition("pipelines.")[0]
#: the folder that holds the packages, however deep in one of them this file lies
ROOT = Path(__file__).resolve().parents[__name__.removeprefix(PREFIX).count(".")]
PACKAGES = ("pipelines", "models", "expectations", "flows")

#: distributions whose release may change a fit's bits
LIBRARIES = (
    *("numpy", "scipy", "torch", "pytorch-lightning", "scikit-learn", "imbalanced-learn"),
    *("statsmodels", "arch", "lightgbm", "safetensors"),
)
#: what no digest of pipelines/ looks into; see above
LEFT_OUT = (
    *("finflow.models.zoo", "finflow.pipelines.problems", "finflow.pipelines.sources", "finflow.pipelines.sinks"),
    *(
        "finflow.pipelines.definitions.definition",
        "finflow.pipelines.definitions.context",
        "finflow.pipelines.core.errors",
        "finflow.pipelines.core.home",
        "finflow.pipelines.core.manifests",
    ),
    *(
        "finflow.pipelines.core.code",
        "finflow.pipelines.fits.fits",
        "finflow.pipelines.lake.lake",
        "finflow.pipelines.lake.conflicts",
        "finflow.pipelines.fits.needs",
        "finflow.pipelines.samples.store",
        "finflow.pipelines.core.whole_files",
    ),
    *(
        "finflow.pipelines.tracking.store",
        "finflow.pipelines.registry.versions",
        "finflow.pipelines.training.report",
        "finflow.pipelines.training.tracking",
    ),
    *("finflow.pipelines.backfill.versions", "finflow.pipelines.backfill.walk_run"),
)
#: what carries out a fit beside the model's own sources
_AROUND = (
    "finflow.models.samples",
    "finflow.models.base",
    "finflow.models.saving",
    "finflow.pipelines.fits.data",
    "finflow.pipelines.fits.worker",
)
_SAMPLES = ("finflow.pipelines.samples.windows", "finflow.pipelines.settings.parts")
_DECISIONS = (
    *(
        "finflow.pipelines.training.plan",
        "finflow.pipelines.evaluation.evaluation",
        "finflow.pipelines.evaluation.comparisons",
        "finflow.pipelines.samples.folds",
    ),
    *(
        "finflow.pipelines.training.decisions",
        "finflow.pipelines.training.gate",
        "finflow.pipelines.training.conclusion",
        "finflow.pipelines.training.incumbent",
        "finflow.pipelines.registry.task_signature",
    ),
)
_WALKS = (
    "finflow.pipelines.backfill.walk_forward",
    "finflow.pipelines.backfill.walk_periods",
    "finflow.pipelines.lake.walks",
    "finflow.pipelines.data.contract",
)


@dataclass(frozen=True)
class _Import:
    """One import: `from ...a.b import c, d` has `dots` 3, `module` a.b and these names; `import a.b` has none."""

    dots: int
    module: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """What a file holds: its digest, and the imports that run."""

    digest: str
    imports: tuple[_Import, ...]


def code_digest(model: str) -> str:
    """Of the sources that a model of the zoo runs: its module, what that imports of models/ or its own package, and what carries out a fit.

    Raises:
        KeyError: the zoo has no such model.
        ModuleNotFoundError: see `source_digests`.
    """
    start = ZOO[model].partition(":")[0]
    package = start.rpartition(".")[0] or start  # a model of a person's own may have its parts beside it
    return digest_json(dict(source_digests((start, *ours(*_AROUND)), (*ours("models"), package), ours("finflow.models.zoo"))))


def sample_code(problem: type) -> Mapping[str, str]:
    """By module, the digests of the sources that make samples of clean rows.

    Args:
        problem: the class of the definition's problem.

    Raises:
        ModuleNotFoundError: see `source_digests`.
    """
    return _for_problem(problem, _SAMPLES)


def sample_code_digest(problem: type) -> str:
    """Of `sample_code`."""
    return digest_json(dict(sample_code(problem)))


def decision_code_digest(problem: type) -> str:
    """Of the sources that turn predictions into a decision; `problem` as in `sample_code`."""
    return digest_json(dict(_for_problem(problem, _DECISIONS, ("finflow.pipelines.samples.windows",))))


def walk_code_digest(problem: type) -> str:
    """Of the sources, but for the models', that a walk forward runs: contract, samples and decisions; `problem` as in `sample_code`."""
    return digest_json(dict(_for_problem(problem, (*_WALKS, *_SAMPLES, *_DECISIONS))))


def ours(*addresses: str) -> tuple[str, ...]:
    """Addresses in finflow's packages by the names that these are imported by, whether they came with PREFIX or without."""
    return tuple(PREFIX + address.removeprefix(PREFIX) for address in addresses)


@functools.cache
def library_versions() -> dict[str, str]:
    """By distribution, its release; those not installed are left out."""
    versions = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@functools.cache
def code_version() -> str:
    """For example `0.1.0+3f9c2a7be014`: the release, and 12 digits of the digest of all sources of the four packages.

    Raises:
        FileNotFoundError: a package has no sources where this file thinks that they are.
    """
    digests: dict[str, str] = {}
    for package in PACKAGES:
        files = sorted((ROOT / package).rglob("*.py"))
        if not files:
            raise FileNotFoundError(f"{ROOT / package} holds no sources: expected finflow's package {package}. Mend ROOT in {__file__}.")
        digests |= {path.relative_to(ROOT).as_posix(): digest_file(path) for path in files}
    digest = digest_json(digests)[:12]
    try:
        return f"{version('finflow')}+{digest}"
    except PackageNotFoundError:
        return f"0+{digest}"


@functools.cache
def source_digests(starts: tuple[str, ...], follow: tuple[str, ...], without: tuple[str, ...] = ()) -> Mapping[str, str]:
    """By module, the digest of its source: of the starts, of what they import within some packages, of what that imports, and so on.

    A module brings the packages that it lies in, since importing it runs them too. Files are read once a process: it goes on with the code
    that it began with, whatever is written to the disk meanwhile.

    Args:
        starts: addresses of modules, such as `finflow.pipelines.samples.windows`; they count wherever they lie.
        follow: packages, each with all in it; what is imported from elsewhere does not count.
        without: modules that neither count nor are followed; of a package that means its own file alone.

    Raises:
        ModuleNotFoundError: one of these addresses, or a module that is imported from a package to follow, is not there.
    """
    for address in (*starts, *follow, *without):
        _file_of(address)
    digests: dict[str, str] = {}
    seen, waiting = set(without), list(starts)
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        path = _file_of(module)
        if path is None:
            continue
        source = _read(path)
        digests[module] = source.digest
        waiting += _imported(module, path, source.imports, follow)
        waiting += [package for package in _parents(module) if _lies_in(package, follow)]
    return digests


def _for_problem(problem: type, starts: tuple[str, ...], without: tuple[str, ...] = ()) -> Mapping[str, str]:
    module = problem.__module__
    package = module.rpartition(".")[0] or module  # a kind of problem of a person's own may have its parts beside it
    return source_digests((*ours(*starts), module), (*ours("pipelines", "models", "expectations"), package), ours(*LEFT_OUT, *without))


def _imported(module: str, path: Path, imports: Iterable[_Import], follow: tuple[str, ...]) -> Iterator[str]:
    """The modules to follow that a source imports; a name that is no module stands in one.

    Raises:
        ModuleNotFoundError: a module to follow is not there.
    """
    for one in imports:
        base = one.module
        if one.dots:
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            base = ".".join(part for part in (package.rsplit(".", one.dots - 1)[0], one.module) if part)
        if _lies_in(base, follow):
            _file_of(base, importer=module)
            yield base
        for name in (f"{base}.{name}" for name in one.names):
            if _lies_in(name, follow) and _find(name) is not None:
                yield name


def _lies_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _parents(module: str) -> Iterator[str]:
    while module := module.rpartition(".")[0]:
        yield module


def _file_of(module: str, importer: str | None = None) -> Path | None:
    """The source of a module; None for a package that has no file of its own.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    path = _find(module)
    if path is None:
        where = "a digest of code names it" if importer is None else f"{importer} imports it"
        raise ModuleNotFoundError(f"there is no module {module}, and {where}: correct the address where it stands, or put the module back.")
    return None if path.is_dir() else path


@functools.cache
def _find(module: str) -> Path | None:
    """The file of a module, the folder of a package without one, or None. Not even its top package is imported."""
    inside = module.removeprefix(PREFIX).split(".")
    if module.startswith(PREFIX) and inside[0] in PACKAGES:
        places = [ROOT.joinpath(*inside)]
    else:
        top, *rest = module.split(".")
        spec = importlib.util.find_spec(top)
        if spec is None:
            return None
        if not rest and spec.origin:
            return Path(spec.origin) if spec.origin.endswith(".py") else None
        places = [Path(folder, *rest) for folder in spec.submodule_search_locations or ()]
    for place in places:
        for path in (place.with_name(f"{place.name}.py"), place / "__init__.py", place):
            if path.is_file() if path.suffix == ".py" else path.is_dir():
                return path
    return None


@functools.cache
def _read(path: Path) -> _Source:
    tree = ast.parse(path.read_bytes(), str(path))
    return _Source(digest_file(path), tuple(_imports(tree.body)))


def _imports(statements: Iterable[ast.AST]) -> Iterator[_Import]:
    """The imports in statements and whatever blocks they have; expressions hold none."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (_Import(0, alias.name, ()) for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield _Import(statement.level, statement.module or "", tuple(alias.name for alias in statement.names))
        elif isinstance(statement, ast.If) and "TYPE_CHECKING" in (getattr(statement.test, "id", ""), getattr(statement.test, "attr", "")):
            yield from _imports(statement.orelse)
        else:
            for block in ("body", "handlers", "cases", "orelse", "finalbody"):
                yield from _imports(getattr(statement, block, ()))
