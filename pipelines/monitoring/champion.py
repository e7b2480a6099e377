"""Who was champion at an as-of, what it was trained on, and what it answered out of sample before it was promoted."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from finflow.models.base import Hardware
from finflow.models.ensemble import Ensemble
from finflow.models.saving import load_model
from finflow.pipelines.core.errors import RegistryError, StateError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import FitResult
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.fits.fits import fit_all, plan_fits
from finflow.pipelines.samples.folds import production_fold
from finflow.pipelines.samples.windows import open_samples, store_samples
from finflow.pipelines.settings.parts import Recipe
from finflow.pipelines.tracking.patience import patiently
from finflow.pipelines.tracking.store import store_client

if TYPE_CHECKING:
    from finflow.models.base import Model
    from finflow.models.samples import Samples
    from finflow.pipelines.core.manifests import CleanManifest, SampleManifest
    from finflow.pipelines.lake.promotions import PromotionRow


@dataclass(frozen=True, eq=False)
class Trained:
    """A version and the training that made it.

    Attributes:
        row: the training's row of the promotions table: the first that names the version.
        clean: the batch of the monitoring; the training's own is derived from it.
    """

    context: Context
    version: int
    row: PromotionRow
    clean: CleanManifest

    @property
    def as_of(self) -> pd.Timestamp:
        return pd.Timestamp(self.row.effective_as_of)

    @property
    def entry(self) -> str:
        """The name under which it competed."""
        return str(self.row.evidence.get("entry", self.row.candidate))

    @cached_property
    def manifest(self) -> SampleManifest:
        """The training's samples, by the definition's features as they are now.

        Raises:
            StateError: the table version that it was trained on can no longer be read.
            NotEnoughHistoryError: no sample can be made of it.
        """
        if self.row.data_version is None:
            raise StateError(f"the promotions table does not say which data version {self.version} was trained on.")
        clean = replace(self.clean, version=self.row.data_version, as_of=self.row.effective_as_of, digest=self.row.data_digest)
        return store_samples(self.context, clean)

    @cached_property
    def samples(self) -> Samples:
        """The training's samples, opened; raises as `manifest`."""
        return open_samples(self.manifest.folder)

    @property
    def is_reference(self) -> bool:
        """Whether it is the reference's own recipe."""
        reference = self.context.definition.recipes[self.context.definition.reference]
        return bool(self.row.recipe) and Recipe.model_validate(self.row.recipe).digest == reference.digest

    @cached_property
    def reference(self) -> Model:
        """The reference's recipe fitted on the rows that the version was trained on. It is a fit like any other: kept, and made once.

        Raises:
            FitError, NotEnoughHistoryError: it cannot be fitted on them.
        """
        name, seed = self.context.definition.reference, self.context.definition.seed
        fold = production_fold(self.context.definition, self.samples.index, self.as_of)
        seeds = tuple(range(seed, seed + self.context.definition.seeds))
        recipes = {name: self.context.definition.recipes[name]}
        answers = fit_all(plan_fits(self.context, self.manifest, [fold], recipes, Hardware(), seeds), self.context.home)
        for answer in answers:
            if not isinstance(answer, FitResult):
                raise answer
        members = [load_model(Path(answer.folder) / "model") for answer in answers if isinstance(answer, FitResult)]
        return members[0] if len(members) == 1 else Ensemble(members)

    def test_predictions(self) -> pd.DataFrame:
        """What its recipe predicted for the test parts of its training: prediction rows, out of sample.

        Raises:
            RegistryError: neither the evaluation's folder nor the run in MLflow has them.
        """
        import pyarrow.parquet as parquet

        path = self.context.home.evaluations / self.row.run_key / "predictions" / f"{self.entry}.parquet"
        if path.is_file():
            return pd.DataFrame(parquet.ParquetFile(path).read(use_threads=False).to_pandas(use_threads=False))
        with tempfile.TemporaryDirectory(prefix="finflow-") as scratch:
            logged = _logged_predictions(self.context.home, self.row.run_key, self.entry, Path(scratch))
            return pd.DataFrame(parquet.ParquetFile(logged).read(use_threads=False).to_pandas(use_threads=False))


def champion_at(context: Context, clean: CleanManifest) -> Trained | None:
    """The version that was champion at the batch's as-of, or None."""
    version = context.promotions.effective(pd.Timestamp(clean.as_of))
    return None if version is None else trained(context, clean, version)


def trained(context: Context, clean: CleanManifest, version: int) -> Trained:
    """A version and its training.

    Raises:
        RegistryError: no row of the promotions table names it.
    """
    for row in context.promotions.rows():
        if row.version == version:
            return Trained(context, version, row, clean)
    raise RegistryError(f"version {version} of {context.name} is not in the promotions table.")


def positions_of(samples: Samples, rows: pd.DataFrame) -> np.ndarray:
    """Positions, int64, of the samples that `rows` (entity, time) are about, ascending, each once. Rows without a sample are left out."""
    names = np.asarray(samples.observations.entities, dtype=object)[samples.index.entity]
    there = pd.MultiIndex.from_arrays([names, samples.index.time.astype("datetime64[us]")])
    wanted = rows[["entity", "time"]].drop_duplicates()
    keys = pd.MultiIndex.from_arrays([wanted["entity"].astype(object), wanted["time"].to_numpy("datetime64[us]")])
    positions = there.get_indexer(keys)
    return np.sort(positions[positions >= 0])


def _logged_predictions(home: Home, run_key: str, entry: str, scratch: Path) -> Path:
    """The file that the training logged, fetched into `scratch`.

    Raises:
        RegistryError: there is none.
        UnreachableError: MLflow does not answer.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    client = store_client(home)
    absent = f"the test predictions of {entry} from the training {run_key[:12]} are neither in {home.evaluations} nor in MLflow"
    query = f"tags.`finflow.run_key` = '{run_key}' and tags.`finflow.role` = '{entry}'"
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()], filter_string=query, max_results=1)
    if not runs:
        raise RegistryError(absent)
    uri = f"{runs[0].info.artifact_uri}/predictions.parquet"
    try:
        fetched = patiently(
            lambda: mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(scratch), tracking_uri=home.tracking_uri),
            home.tracking_uri,
        )
        return Path(fetched)
    except (MlflowException, OSError) as error:
        raise RegistryError(f"{absent} ({' '.join(str(error).split())[:200]})") from None
