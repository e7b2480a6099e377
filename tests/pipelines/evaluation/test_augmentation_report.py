"""What was decided about generated samples can be read: in the report, and in MLflow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finflow.models.base import FitReport
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import FitResult, Fold
from finflow.pipelines.core.markdown import to_html
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.evaluation.augmentation import augmentation_text, flat_notes
from finflow.pipelines.fits.fits import carry_out, read_report
from finflow.pipelines.training.records import candidate_metrics, candidate_params
from tests.support import tiny_values
from tests.support.pipelines.evaluation_support import evaluation_of, losses_of
from tests.support.pipelines.fit_support import definition, market, planned, recipes, stored

KEPT = {"kept": True, "reason": "lower | over\nseeds", "share": 0.5, "gain": 0.02, "gains": [0.01, 0.03], "loss": 0.3}
REFUSED = {"kept": False, "reason": "the trial failed: NaN", "share": 0.5, "gain": None, "gains": [], "loss": None}
TESTS = {"kept": {"p_seeds": 0.01, "p_blocks": 0.04}, "refused": {"p_seeds": None, "p_blocks": None}}


def reported() -> list[tuple[FitResult, FitReport]]:
    """Two folds of a candidate with the option, two seeds each; and one without it."""
    notes: dict[str, dict[str, Any]] = {"2016-01": {**KEPT, **TESTS["kept"]}, "2017-01": {**REFUSED, **TESTS["refused"]}}
    own = [
        (FitResult("", "lstm", fold, seed, "", False, 1.0), FitReport(notes={"augmentation": told}))
        for fold, told in notes.items()
        for seed in (1, 2)
    ]
    return [*own, (FitResult("", "ridge", "2016-01", 0, "", False, 1.0), FitReport(notes={"alpha": 1.0}))]


def test_the_report_has_a_row_a_fold() -> None:
    lines = augmentation_text(reported())
    rows = [line for line in lines if line.startswith("| lstm")]
    assert rows[0] == "| lstm | 2016-01 | **kept** | 0.5 | +0.01, +0.03 | 0.010 | 0.040 | lower \\| over seeds |"
    assert rows[1] == "| lstm | 2017-01 | refused | 0.5 | - | - | - | the trial failed: NaN |"
    assert len(rows) == 2
    assert not any("ridge" in line for line in lines)
    assert "<td>lower | over seeds</td>" in to_html("\n".join(lines))
    assert augmentation_text(reported()[-1:]) == []


def test_rows_of_a_rare_class_have_a_section_of_their_own() -> None:
    told = {
        "kept": False,
        "reason": "the gain over the fits with SMOTE may be an accident of the seeds",
        "share": 1.0,
        "rows": 0,
        "average_precision": {"none": 0.25, "smote": 0.2612, "generated": 0.27},
        "gain": 0.02,
        "gains": [0.01, 0.03],
        "gain_over_smote": 0.0088,
        "p_seeds": {"none": 0.01, "smote": 0.2},
        "p_rows": {"none": 0.03, "smote": 0.04},
    }
    failed = {**told, "reason": "the trial failed: x", "average_precision": {}, "gain": None, "gains": [], "p_seeds": {}, "p_rows": {}}
    fits = [FitResult("", "boosting", fold, 1, "", False, 1.0) for fold in ("2016-01", "2017-01")]
    lines = augmentation_text([(fit, FitReport(notes={"augmentation": own})) for fit, own in zip(fits, (told, failed), strict=True)])
    assert "## Generated rows of the rare class" in lines
    assert "## Generated training samples" not in lines
    rows = [line for line in lines if line.startswith("| boosting")]
    assert rows == [
        f"| boosting | 2016-01 | refused | 1 | 0.25 | 0.261 | 0.27 | 0.200 | 0.040 | {told['reason']} |",
        "| boosting | 2017-01 | refused | 1 | - | - | - | - | - | the trial failed: x |",
    ]
    flat = flat_notes(told)
    assert flat["average_precision.smote"] == 0.2612
    assert flat["p_rows.none"] == 0.03
    assert flat["loss"] is None


def test_mlflow_has_the_verdict_of_every_fold() -> None:
    made = evaluation_of(losses_of({"random-walk": 0.0, "lstm": -0.05}, 300))
    folds = (Fold("2016-01", "2015-01-01", "2016-01-01", "2016-12-31"), Fold("2017-01", "2016-01-01", "2017-01-01", "2017-12-31"))
    evaluation = replace(made, folds=folds)
    entry = replace(evaluation.candidates[0], recipe={"model": "recurrent", "settings": {"augmentation": {"share": 0.5}}})
    logged = [(one.key, one.step, one.value) for one in candidate_metrics(evaluation, entry, reported()[:4], 0)]
    found = {(name, step): value for name, step, value in logged if name.startswith("augmentation")}
    assert found == {
        ("augmentation.kept", 0): 1.0,
        ("augmentation.kept", 1): 0.0,
        ("augmentation.share", 0): 0.5,
        ("augmentation.share", 1): 0.5,
        ("augmentation.gain", 0): 0.02,
        ("augmentation.loss", 0): 0.3,
        ("augmentation.p_seeds", 0): 0.01,
        ("augmentation.p_blocks", 0): 0.04,
        ("augmentation.gain/2016-01", 0): 0.01,
        ("augmentation.gain/2016-01", 1): 0.03,
    }
    assert len(logged) == len({(name, step) for name, step, _ in logged}), "each is logged once, however many seeds"
    params = {one.key: one.value for one in candidate_params(parse_definition(tiny_values()), entry, reported()[:4])}
    assert params["settings.augmentation"] == '{"share": 0.5}'


def test_a_fit_as_a_job_carries_the_verdict(home: Home) -> None:
    chosen = recipes(net={"model": "dense", "settings": {"hidden": [4], "epochs": 1, "augmentation": {"seeds": 3, "steps": 2}}})
    made = definition()
    spec = planned(made, home, stored(made, home, market()), chosen, seeds=(1,))[0]
    found = read_report(carry_out(spec, home)).notes["augmentation"]
    assert found["kept"] in (True, False)
    assert len(found["gains"]) == 3


def test_a_gan_with_the_option_is_refused_as_the_definition_is_read() -> None:
    candidates = {"gan": {"model": "gan", "settings": {"augmentation": {}}}}
    with pytest.raises(DefinitionError, match=r"gan\.settings: .*another generator's mistakes"):
        parse_definition(tiny_values(candidates=candidates))
