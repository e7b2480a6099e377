"""By module, digests of sources: of some modules and of all that they import, told from the text of the sources alone.

Nothing that is looked at is imported. Imports count wherever they stand, within functions too, but for those that only a type checker sees.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from finflow.pipelines.core.digest import digest_file

#: what stands before `pipelines` in the names that finflow's packages are imported by, with its dot: nothing, where they stand alone
PREFIX = __name__.partition("pipelines.")[0]
#: the folder that holds the packages, however deep in one of them this file lies
ROOT = Path(__file__).resolve().parents[__name__.removeprefix(PREFIX).count(".")]
PACKAGES = ("pipelines", "models", "expectations", "flows")


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


def ours(*addresses: str) -> tuple[str, ...]:
    """Addresses in finflow's packages by the names that these are imported by, whether they came with PREFIX or without."""
    return tuple(PREFIX + address.removeprefix(PREFIX) for address in addresses)


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
