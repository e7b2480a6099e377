"""What the fits of a training say of generated training samples: kept or not in each fold, and on what evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finflow.models.base import FitReport
from finflow.pipelines.core.manifests import FitResult
from finflow.pipelines.core.markdown import p_value, table_lines

Reports = Sequence[tuple[FitResult, FitReport]]


def augmentation_notes(reports: Reports) -> dict[str, dict[str, Any]]:
    """By fold, the notes of one candidate's fits; all its seeds come to the same verdict. Empty without the option."""
    return {fit.fold: report.notes["augmentation"] for fit, report in reports if "augmentation" in report.notes}


def flat_notes(notes: dict[str, Any]) -> dict[str, Any]:
    """What of a verdict is one number each, by name: of what is told by rival the names are joined by a dot."""
    found: dict[str, Any] = {}
    for name in ("kept", "share", "rows", "gain", "gain_over_smote", "loss", "average_precision", "p_seeds", "p_blocks", "p_rows"):
        value = notes.get(name)
        found.update({f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value})
    return found


def augmentation_text(reports: Reports) -> list[str]:
    """The verdicts as Markdown sections; empty where no candidate has the option."""
    windows, rows = [], []
    for candidate in dict.fromkeys(fit.candidate for fit, _ in reports):
        own = [(fit, report) for fit, report in reports if fit.candidate == candidate]
        for fold, notes in sorted(augmentation_notes(own).items()):
            first = [candidate, fold, "**kept**" if notes["kept"] else "refused", f"{notes['share']:g}"]
            if "average_precision" in notes:
                rows.append([*first, *_precision_cells(notes), notes["reason"]])
            else:
                windows.append([*first, *_loss_cells(notes), notes["reason"]])
    return [*_windows_section(windows), *_rows_section(rows)]


def _loss_cells(notes: dict[str, Any]) -> list[str]:
    gains = ", ".join(f"{gain:+.2g}" for gain in notes["gains"]) or "-"
    return [gains, p_value(notes["p_seeds"]), p_value(notes["p_blocks"])]


def _precision_cells(notes: dict[str, Any]) -> list[str]:
    precision = notes["average_precision"]
    found = [f"{precision[name]:.3g}" if precision else "-" for name in ("none", "smote", "generated")]
    return [*found, *(p_value(_largest(notes[name])) for name in ("p_seeds", "p_rows"))]


def _largest(values: dict[str, float | None]) -> float | None:
    """Of the tests against each rival; None where one cannot be had."""
    found = list(values.values())
    return max((one for one in found if one is not None), default=None) if None not in found else None


def _windows_section(rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    header = ["candidate", "test period", "generated samples", "beside each real one", "gain, pair by pair", "p, seeds", "p, dates", "why"]
    return [
        "## Generated training samples",
        "",
        *table_lines([header, *rows]),
        "",
        "Decided by each fold's validation part, before its test part, on trainings without and with them from the same seed. Gains are of "
        "the validation loss in scaled units (positive: lower with them); p, one-sided: that the gain is an accident of the seeds, or of "
        "the validation part's dates. Where they are refused the fit is the one without them, to the bit.",
        "",
    ]


def _rows_section(rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    header = [
        "candidate",
        "test period",
        "generated rows",
        "beside each real one",
        "without",
        "SMOTE",
        "generated",
        "p, seeds",
        "p, rows",
        "why",
    ]
    return [
        "## Generated rows of the rare class",
        "",
        *table_lines([header, *rows]),
        "",
        "Average precision of the rare class on the validation part that also stops a fit, mean over the seeds: of fits without generated "
        "rows, with rows between neighbours (SMOTE), and with rows of the generator (CTGAN). p, one-sided, the larger of the two rivals': "
        "that the gain is an accident of the seeds, or of the validation part's rows. Where they are refused the fit is the one without "
        "them, to the bit; where they are kept, log odds are shifted back to the real rows' base rate.",
        "",
    ]
