"""The stages as Prefect tasks: named, retried, never cached by Prefect (the folder store and the tables say what is done)."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.display import DISPLAY
from pipelines.definition import Definition
from pipelines.errors import FinflowError
from pipelines.home import Home
from pipelines.manifests import CleanManifest, FitResult, FitSpec, PredictionResult, RawManifest, SampleManifest


def _transient(task: Any, run: Any, state: Any) -> bool:
    """Retry what a second try may mend; a person's mistake is not among it."""
    try:
        state.result()
    except FinflowError:
        return False
    except Exception:
        return True
    return False


@task(name="ingest", retries=2, retry_delay_seconds=[2, 10], retry_condition_fn=_transient, cache_policy=NO_CACHE, persist_result=False)
def ingest_task(definition: Definition, home: Home) -> RawManifest:
    """Source to raw table."""
    from pipelines.ingest import ingest

    raw = ingest(definition, home)
    DISPLAY.say(f"read {raw.rows:,} rows, {raw.added:,} of them new ({raw.first_time[:10]} to {raw.last_time[:10]})")
    return raw


@task(name="validate", cache_policy=NO_CACHE, persist_result=False)
def validate_task(definition: Definition, home: Home, raw: RawManifest, as_of: str) -> CleanManifest:
    """Raw table to clean table and quarantine, by the contract."""
    import pandas as pd
    from pipelines.contract import validate

    clean = validate(definition, home, raw, pd.Timestamp(as_of))
    warnings = [rule for rule in clean.rules if not rule.passed and rule.severity == "warning"]
    DISPLAY.say(f"contract met: {clean.rows:,} rows clean, {clean.quarantined:,} quarantined, {len(warnings)} warnings")
    return clean


@task(name="window", cache_policy=NO_CACHE, persist_result=False)
def window_task(definition: Definition, home: Home, clean: CleanManifest) -> SampleManifest:
    """Clean table to observations and sample index."""
    from pipelines.windows import store_samples

    samples = store_samples(definition, home, clean)
    DISPLAY.say(f"windowed: {samples.samples:,} samples of {len(samples.columns)} columns")
    return samples


@task(name="fit", task_run_name="fit {spec.candidate} fold {spec.fold.name} seed {spec.seed}", cache_policy=NO_CACHE, persist_result=False)
def fit_task(spec: FitSpec, home: Home) -> FitResult:
    """One fit, in a process of its own."""
    from pipelines.fits import carry_out

    return carry_out(spec, home)


@task(
    name="fit and predict",
    task_run_name="fit {spec.candidate} fold {spec.fold.name} seed {spec.seed}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def fit_and_predict_task(spec: FitSpec, home: Home) -> PredictionResult:
    """One fit and the predictions of its fold's test part."""
    from pipelines.fits import carry_out, predict_fit

    try:
        return predict_fit(spec, carry_out(spec, home), home)
    finally:
        DISPLAY.advance("fit")
