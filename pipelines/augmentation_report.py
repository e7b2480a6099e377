"""What the fits of a training say of generated training samples: kept or not in each fold, and on what evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.base import FitReport
from pipelines.manifests import FitResult

Reports = Sequence[tuple[FitResult, FitReport]]


def augmentation_notes(reports: Reports) -> dict[str, dict[str, Any]]:
    """By fold, the notes of one candidate's fits; all its seeds come to the same verdict. Empty without the option."""
    return {fit.fold: report.notes["augmentation"] for fit, report in reports if "augmentation" in report.notes}


def augmentation_text(reports: Reports) -> list[str]:
    """The verdicts as a Markdown section; empty where no candidate has the option."""
    from pipelines.report_text import p_value, table_cell

    rows = []
    for candidate in dict.fromkeys(fit.candidate for fit, _ in reports):
        own = [(fit, report) for fit, report in reports if fit.candidate == candidate]
        for fold, notes in sorted(augmentation_notes(own).items()):
            gains = ", ".join(f"{gain:+.2g}" for gain in notes["gains"]) or "-"
            tests = [p_value(notes["p_seeds"]), p_value(notes["p_blocks"])]
            rows.append(
                [candidate, fold, "**kept**" if notes["kept"] else "refused", f"{notes['share']:g}", gains, *tests, notes["reason"]]
            )
    if not rows:
        return []
    header = ["candidate", "test period", "generated samples", "beside each real one", "gain, pair by pair", "p, seeds", "p, dates", "why"]
    table = [f"| {' | '.join(table_cell(cell) for cell in row)} |" for row in [header, ["---"] * len(header), *rows]]
    return [
        "## Generated training samples",
        "",
        *table,
        "",
        "Decided by each fold's validation part, before its test part, on trainings without and with them from the same seed. Gains are of "
        "the validation loss in scaled units (positive: lower with them); p, one-sided: that the gain is an accident of the seeds, or of "
        "the validation part's dates. Where they are refused the fit is the one without them, to the bit.",
        "",
    ]
