"""A person's word that the record stands as it is, although a head says that there was more, or other: a row of the record itself."""

from __future__ import annotations

import pandas as pd

from finflow.pipelines.core.digest import digest_json
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.manifests import Decision
from finflow.pipelines.core.names import check_name
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.looks import Looks
from finflow.pipelines.lake.promotions import HEAD_ACCEPTED, Examined, PromotionRow, champion_row
from finflow.pipelines.operating.approval import given_reason
from finflow.pipelines.registry.aliases import remembered_fault, remembered_head, repair_aliases


def accept_head(context: Context, by: str, why: str) -> Decision:
    """Let the record go on from where it is: who accepted it, why, what was wrong and which heads said more stays on the record.

    Nothing that was changed can be accepted, only that something is missing or went another way: an older lake was put back alone, say.

    Raises:
        FinflowError: no name or reason; there is nothing to accept; or what is wrong is no matter of a head's.
    """
    person, reason = check_name(by.strip(), "the name of who decides (--by)"), given_reason(why)
    found = context.promotions.examine()
    for fault in found.broken.values():
        raise FinflowError(f"{context.name}: {fault}. That cannot be accepted: put the lake and the MLflow store back from a backup.")
    refused = dict(found.refused)
    remembered = remembered_fault(context.home, context.name, found.rows)
    if remembered:
        refused["the registry"] = (remembered_head(context.home, context.name) or "", remembered)
    looks = Looks(context.lake, context.home.heads)
    if changed := looks.changed():
        raise FinflowError(f"{changed}. That cannot be accepted: put the lake and the MLflow store back from a backup.")
    if lost := looks.lost():
        refused["the table of looks"] = ("", lost)
    if not refused:
        raise FinflowError(f"{context.name}: the record goes on from every head; there is nothing to accept.")
    row = _row(context, found, refused, person, reason)
    context.promotions.record(row, found.version)
    looks.accept()
    repair_aliases(context)
    return row.decision


def _row(context: Context, found: Examined, refused: dict[str, tuple[str, str]], person: str, why: str) -> PromotionRow:
    champion = champion_row(found.rows)
    faults = [f"{fault} (the head in {place})" for place, (_, fault) in refused.items()]
    marks = sorted({mark for mark, _ in refused.values() if mark})
    now = pd.Timestamp.now("UTC").isoformat()
    return PromotionRow(
        run_key=digest_json({"accepted": marks, "by": person, "after": len(found.rows), "at": now}),
        verdict=HEAD_ACCEPTED,
        candidate="" if champion is None else champion.candidate,
        family="" if champion is None else champion.family,
        version=None if champion is None else champion.version,
        previous_version=None if champion is None else champion.previous_version,
        effective_as_of=now if champion is None else champion.effective_as_of,
        reason=f"{person} accepts the record of {len(found.rows)} decisions as it stands: {why}. What was wrong: {'; '.join(faults)}.",
        evidence={"by": person, "why": why, "accepted": marks, "faults": faults},
        recipe={} if champion is None else champion.recipe,
        manifest_digest="" if champion is None else champion.manifest_digest,
    )
