"""A version that was loaded and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finflow.models.base import Model, Task
from finflow.pipelines.registry.pyfunc import PyfuncModel


@dataclass(frozen=True, eq=False, repr=False)
class ServedModel:
    """A version that passed every check, ready to predict.

    Attributes:
        manifest: what the version says of itself: what it was asked, candidate, recipe, as_of, data, libraries, files.
    """

    model: Model
    task: Task
    name: str
    version: int
    manifest_digest: str
    manifest: dict[str, Any]

    @property
    def context(self) -> int:
        """How many rows the model reads, the window's among them: a window that is given so many is answered as in scoring."""
        return self.model.context

    def predict(self, inputs: Any) -> Any:
        """Predict from raw feature rows, arrays or a frame, as MLflow's pyfunc does: see `PyfuncModel.predict`."""
        return PyfuncModel(self.model, self.manifest).predict(inputs)

    def __repr__(self) -> str:
        columns = ", ".join((*self.task.columns, *self.task.categories))
        return (
            f"{self.name} version {self.version}: {self.manifest['candidate']}, as of {self.manifest['as_of'][:10]}\n"
            f"  reads {self.context} rows (at least {self.task.length}) of {columns}; answers {self.task.outputs} steps"
        )
