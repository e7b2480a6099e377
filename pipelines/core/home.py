"""Where state lives: FINFLOW_HOME and the addresses that replace parts of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from finflow.pipelines.core.servers import read_stack

_SERVERS = "servers"


@dataclass(frozen=True)
class Home:
    """The folders and addresses of one installation. Making one creates nothing.

    Attributes:
        root: the folder of all local state.
        lake: a local path or an object-store URL.
        tracking_uri: MLflow's.
        prefect_api: the URL of a Prefect server that runs already, or None for the embedded one.
    """

    root: Path
    lake: str
    tracking_uri: str = field(repr=False)
    prefect_api: str | None = field(repr=False)

    @classmethod
    def from_environment(cls) -> Home:
        """FINFLOW_HOME (default `.finflow` in the working folder), FINFLOW_LAKE, MLFLOW_TRACKING_URI, PREFECT_API_URL.

        Where the last two are not set, the servers that `finflow up` started for this home are used, if there are any.

        Raises:
            StateError: the record of those servers is damaged.
        """
        root = Path(os.environ.get("FINFLOW_HOME") or ".finflow").expanduser().resolve()
        stack = read_stack(root / _SERVERS)
        running = stack if stack and stack.in_use else None
        tracking = running.address("mlflow") if running else f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"
        return cls(
            root=root,
            lake=os.environ.get("FINFLOW_LAKE") or str(root / "lake"),
            tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or tracking,
            prefect_api=os.environ.get("PREFECT_API_URL") or (running.prefect_api if running else None),
        )

    @property
    def fits(self) -> Path:
        """Finished fits and their predictions, one folder each."""
        return self.root / "fits"

    @property
    def samples(self) -> Path:
        """Observation tensors and sample indexes, one folder each, named by digest."""
        return self.root / "samples"

    @property
    def evaluations(self) -> Path:
        return self.root / "evaluations"

    @property
    def trials(self) -> Path:
        """Evaluations on development folds, one folder each: no training's, and no decision rests on them."""
        return self.root / "trials"

    @property
    def runs(self) -> Path:
        """What each training or trial needs, one file each, for `finflow prune`."""
        return self.root / "runs"

    @property
    def validations(self) -> Path:
        """Data Docs, suites and results of validations, one folder each."""
        return self.root / "validations"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def mlflow(self) -> Path:
        return self.root / "mlflow"

    @property
    def heads(self) -> Path:
        """The heads of the promotions tables, beside MLflow's store: who puts a backup back takes the two together."""
        return self.mlflow / "heads"

    @property
    def prefect(self) -> Path:
        return self.root / "prefect"

    @property
    def servers(self) -> Path:
        """The record, logs and secrets of what `finflow up` started."""
        return self.root / _SERVERS
