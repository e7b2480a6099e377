"""The package `finflow` itself, what `import finflow` gives a notebook. It is installed under that name, and imports late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finflow.flows.interface.use_case import UseCase, definitions, load
    from finflow.pipelines.core.errors import FinflowError

    __version__: str

__all__ = ["FinflowError", "UseCase", "__version__", "definitions", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version

        return version("finflow")
    if name == "FinflowError":
        from finflow.pipelines.core import errors

        return errors.FinflowError
    from finflow.flows.interface import use_case

    return getattr(use_case, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"Any", "TYPE_CHECKING", "annotations"})
