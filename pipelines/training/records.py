"""What is logged of a candidate, as MLflow's entities: the same parameter and metric names for every family."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from finflow.models.base import FitReport
from finflow.pipelines.core.manifests import CandidateEvaluation, Evaluation, FitResult, SampleManifest
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.evaluation.augmentation import augmentation_notes, flat_notes
from finflow.pipelines.tracking.runs import finite_metrics
from finflow.pipelines.tracking.store import safe

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Param

Reports = Sequence[tuple[FitResult, FitReport]]


def candidate_params(definition: Definition, entry: CandidateEvaluation, reports: Reports) -> list[Param]:
    """What a candidate was, at most 100 parameters: the common ones first, then its settings under `settings.`."""
    from mlflow.entities import Param

    values: dict[str, Any] = {
        "model": entry.model,
        "family": entry.family,
        "baseline": entry.baseline,
        "recipe": entry.recipe_digest,
        "window_length": definition.window.length,
        "horizon": definition.window.horizon,
        "features": len(definition.features),
        "seeds": entry.seeds,
        "embargo": definition.folds.embargo,
        "fitted_parameters": max((report.parameters for _, report in reports), default=0),
    }
    values.update({f"settings.{name}": value for name, value in sorted(entry.recipe.get("settings", {}).items())})
    return [Param(safe(name), _text(value)) for name, value in list(values.items())[:100]]


def candidate_metrics(evaluation: Evaluation, entry: CandidateEvaluation, reports: Reports, moment: int) -> list[Metric]:
    """Final scalars with their intervals, the deciding loss a fold (step: the fold's number), and one point an epoch of each fit.

    Of generated training samples: what was decided in each fold (step: the fold's number), and each pair's gain (step: the pair's).
    """
    from mlflow.entities import Metric

    found: list[Metric] = []

    def add(name: str, value: float | None, step: int = 0) -> None:
        if value is not None and math.isfinite(value):
            found.append(Metric(safe(name), float(value), moment, step))

    for metric in entry.metrics:
        add(metric.name, metric.value)
        add(f"{metric.name}.low", metric.low)
        add(f"{metric.name}.high", metric.high)
    for comparison in entry.comparisons:
        add(f"effect.{comparison.against}", comparison.effect)
        add(f"p_value.{comparison.against}", comparison.p_value)
    add("confidence_p", entry.confidence_p)
    for check in entry.checks:
        add(f"{check.name}.passed", float(check.passed))
        for figure, value in check.figures.items():
            add(f"{check.name}.{figure}", value)
    for number, fold in enumerate(evaluation.folds):
        add(f"fold_{evaluation.loss}", entry.fold_losses.get(fold.name), number)
    add("fit_seconds", sum(fit.seconds for fit, _ in reports))
    for fit, report in reports:
        for point in report.epochs:
            for name in ("train_loss", "validation_loss"):
                add(f"{name}/{fit.fold}/seed_{fit.seed}", point.get(name), int(point["epoch"]))
    verdicts = augmentation_notes(reports)
    for number, fold in enumerate(evaluation.folds):
        notes = verdicts.get(fold.name, {})
        for name, value in flat_notes(notes).items():
            add(f"augmentation.{name}", value, number)
        for pair, gain in enumerate(notes.get("gains", ())):
            add(f"augmentation.gain/{fold.name}", gain, pair)
    return found


def not_finite(entry: CandidateEvaluation) -> list[str]:
    """Names of metrics that have no finite value: MLflow would keep infinity as the number 1.8e308, so a tag says it instead."""
    return [metric.name for metric in entry.metrics if metric.value is None or not math.isfinite(metric.value)]


def scalars(definition: Definition, evaluation: Evaluation, samples: SampleManifest, moment: int) -> tuple[list[Metric], list[Param]]:
    """What is logged of the training as a whole."""
    from mlflow.entities import Param

    best = evaluation.candidates[0]
    metrics = {metric.name: metric.value for metric in best.metrics}
    values = {f"best.{name}": value for name, value in metrics.items()}
    values["spa_p"] = evaluation.spa_p
    values.update({"test_dates": evaluation.dates, "samples": samples.samples, "quarantined": samples.clean.quarantined})
    params = {
        "best": best.candidate,
        "reference": definition.reference,
        "loss": evaluation.loss,
        "candidates": ", ".join(definition.candidates),
        "baselines": ", ".join(definition.baselines),
        "first_date": evaluation.first_date,
        "last_date": evaluation.last_date,
        "looks_before": evaluation.looks_before,
        "dates_unseen": evaluation.dates if evaluation.sight is None else evaluation.sight.unseen,
        "dates_sealed": evaluation.sealed,
        "window_length": definition.window.length,
        "horizon": definition.window.horizon,
        "definition": definition.model_dump_json(exclude={"description"}),
    }
    return finite_metrics(values, moment), [Param(name, _text(value)) for name, value in params.items()]


def dataset_input(samples: SampleManifest) -> DatasetInput:
    """The clean batch that a run read, for MLflow's `log_inputs`."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    clean = samples.clean
    source = {"table": clean.table, "version": clean.version, "as_of": clean.as_of}
    profile = {"rows": clean.rows, "entities": clean.entities, "samples": samples.samples, "labelled": samples.labelled}
    schema = {"columns": list(samples.columns)}
    dataset = Dataset(
        name=clean.table,
        digest=clean.digest[:36],
        source_type="delta",
        source=json.dumps(source),
        schema=json.dumps(schema),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:6000]
