"""What makes things safer is decided on all test dates, the sealed ones too: the champion's recipe against the baselines, and their checks.

That is no look at a challenger: no other entry is in it, and it is kept apart from what is shown and logged.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from finflow.pipelines.core.manifests import CandidateEvaluation, Evaluation
from finflow.pipelines.evaluation.comparisons import Compared
from finflow.pipelines.evaluation.inputs import EvaluationPanel, EvaluationRequest
from finflow.pipelines.evaluation.measures import Measured, measure
from finflow.pipelines.evaluation.store import SAFETY, SAFETY_LOSSES
from finflow.pipelines.evaluation.tables import day, losses_frame, write_parquet


def write_safety(folder: Path, request: EvaluationRequest, whole: EvaluationPanel, shown: Evaluation) -> None:
    """Keep safety.json, an evaluation of the champion's recipe and the baselines alone on all test dates, and their losses beside it.

    Args:
        whole: the panel of all test dates.
        shown: the evaluation of those that are shown.
    """
    names = {one.candidate for one in shown.candidates if one.baseline or one.candidate == shown.champion}
    panel = whole.take(np.ones(len(whole.index), dtype=bool), sorted(names))
    measured = measure(request, panel)
    entries = [_entry(request, panel, measured, one) for one in shown.candidates if one.candidate in names]
    mean = {name: float(values.mean()) for name, values in measured.daily.items()}
    found = replace(
        shown,
        dates=measured.dates,
        first_date=day(panel.index.time.min()),
        last_date=day(panel.index.time.max()),
        folds=panel.folds,
        candidates=tuple(sorted(entries, key=lambda one: (one.invalid is not None, mean.get(one.candidate, np.inf)))),
        superior=(),
        horizon=measured.horizon,
        spa_p=None,
        folder="",
    )
    (folder / SAFETY).write_text(json.dumps(found.to_dict(), ensure_ascii=False, allow_nan=False), encoding="utf-8")
    write_parquet(losses_frame(panel, measured.losses), folder / SAFETY_LOSSES)


def _entry(request: EvaluationRequest, panel: EvaluationPanel, measured: Measured, shown: CandidateEvaluation) -> CandidateEvaluation:
    name, wrong = shown.candidate, measured.invalid.get(shown.candidate)
    gate, seed = request.definition.gate, request.definition.seed
    checks = () if wrong else request.problem.checks(panel.forecasts[name].ensemble, panel.index, gate, seed)
    found = replace(shown, metrics=(), fold_losses={}, seed_losses={}, confidence_p=None, invalid=wrong, checks=checks)
    return replace(found, **vars(measured.compared.get(name, Compared((), (), None))))
