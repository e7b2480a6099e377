"""What report, commands, MLflow and Prefect say of the looks at a training's data."""

from __future__ import annotations

from typing import Any

from finflow.pipelines.core.manifests import Evaluation


def look_figures(evaluation: Evaluation, evidence: dict[str, Any]) -> dict[str, Any]:
    """Plain values: looks at these data before, dates (or entities) in all, unseen and sealed, what the challenge was decided on, the level
    spent on these data so far and the lowest declared.

    Args:
        evidence: of the recorded decision.
    """
    kept, sight = evidence.get("looks") or {}, evaluation.sight
    return {
        "looks_before": evaluation.looks_before,
        "dates": evaluation.dates + evaluation.sealed,
        "unseen": evaluation.dates if sight is None else sight.unseen,
        "sealed": evaluation.sealed,
        "decided": kept.get("decided"),
        "decided_after": evaluation.decided_after,
        "level_spent": kept.get("level_spent"),
        "lowest_level": kept.get("lowest_level"),
    }


def look_sentence(figures: dict[str, Any]) -> str:
    """One sentence: "look 4 at these data: 1,254 dates were seen 3 times before, 35 are sealed"."""
    looks, unseen, sealed = figures["looks_before"], figures["unseen"], figures["sealed"]
    if not looks:
        said = f"the first look at these data: {figures['dates']:,} dates that nobody had looked at"
    else:
        times = "once" if looks == 1 else f"{looks:,} times"
        hidden = f"{sealed:,} are sealed" if sealed else f"{unseen:,} are unseen"
        said = f"look {looks + 1:,} at these data: {figures['dates'] - unseen:,} dates were seen {times} before, {hidden}"
    spent = figures["level_spent"]
    return said if spent is None else f"{said}; level spent on them so far {spent:.4g} of {figures['lowest_level']:g}"


def look_lines(figures: dict[str, Any]) -> list[str]:
    """The section of the report, as Markdown."""
    sentence = look_sentence(figures)
    lines = ["## Looks at these data", "", f"{sentence[:1].upper()}{sentence[1:]}.", ""]
    decided = figures["decided"]
    if figures["sealed"]:
        lines += [
            f"What is shown here ends before the {figures['sealed']:,} sealed dates. They are decided on when the next challenge opens; no "
            "figure of a candidate on them is computed before.",
            "",
        ]
    elif decided and figures["decided_after"]:
        lines += [
            f"The challenge was decided on the {decided['dates']:,} dates that nobody had looked at, {decided['first']} to "
            f"{decided['last']}: the columns against baselines are of these, losses and their intervals of all dates.",
            "",
        ]
    return lines
