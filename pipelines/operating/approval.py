"""A person's word about a version that waits: approved, by two people where the definition asks for it, or rejected.

What a person decides is a row of the promotions table like any other decision, written under the same condition: of many who decide at
once one wins, and the others are told. Names are compared, not proven: who may run the command is the matter of the machine it runs on.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import pandas as pd

from finflow.pipelines.core.digest import digest_json
from finflow.pipelines.core.errors import FinflowError, RegistryError
from finflow.pipelines.core.manifests import Decision
from finflow.pipelines.core.names import check_name
from finflow.pipelines.data.knowledge import resolve_as_of
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.lake.conflicts import retry_conflicts
from finflow.pipelines.lake.pending import APPROVED, FIRST_APPROVAL, REJECTED, approvals_of, fate, pending_row
from finflow.pipelines.lake.promotions import PromotionRow, champion_row
from finflow.pipelines.registry.task_signature import check_task
from finflow.pipelines.registry.versions import load_version, repair_aliases

LONGEST_REASON = 2000  # characters
_CONTROL = {"Cc", "Cf", "Cs", "Co", "Cn"}


def approve(context: Context, version: int, by: str, why: str) -> Decision:
    """Promote the version that waits; where two people must approve, the first approval is recorded and moves nothing.

    The version is loaded and checked first. It takes effect with the newest data there are, so that no date before is answered by another
    version than it was.

    Args:
        by: who approves. With four eyes, two names are the same person if they differ in case, in surrounding blanks or in form only.
        why: the reason, for the record.

    Raises:
        RegistryError: the version does not wait (the message says what became of it), may not be loaded, or was made for another task
            than the definition asks now.
        FinflowError: no name or reason, a name that breaks the rule for names, or one that has approved already.
        ConflictError: others kept deciding at the same time.
    """
    return _decide(context, version, by, why, rejects=False)


def reject(context: Context, version: int, by: str, why: str) -> Decision:
    """Refuse the version that waits; one person suffices, and the champion stays.

    Raises:
        RegistryError, FinflowError, ConflictError: as `approve`; nothing is loaded.
    """
    return _decide(context, version, by, why, rejects=True)


def _decide(context: Context, version: int, by: str, why: str, *, rejects: bool) -> Decision:
    definition = context.definition
    person, reason = check_name(by.strip(), "the name of who decides (--by)"), given_reason(why)

    def attempt() -> PromotionRow:
        rows, table_version = context.promotions.snapshot()
        pending = pending_row(rows)
        if pending is None or pending.version != version:
            repair_aliases(context)  # a crash after the decision may have left them behind
            raise RegistryError(_not_waiting(definition.name, rows, version, pending))
        if rejects:
            row = _rejected(definition, rows, pending, person, reason)
        else:
            verdict = _verdict(definition, rows, pending, person)
            check_task(definition, load_version(context, version))
            row = _approved(context, rows, pending, person, reason, verdict)
        context.promotions.record(row, table_version)
        return row

    told = f"{definition.name}: others kept deciding; nothing was recorded about version {version}. Try again."
    decided = retry_conflicts(attempt, told)
    repair_aliases(context)
    return decided.decision


def same_person(one: str, other: str) -> bool:
    """Whether two names differ in case, blanks or Unicode form only."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


def given_reason(why: str) -> str:
    """A person's reason as it is kept.

    Raises:
        FinflowError: there is none, it is too long, or holds what is no plain text.
    """
    text = " ".join(why.split())
    if not text:
        raise FinflowError("a person's decision needs a reason for the record: --why TEXT.")
    if len(text) > LONGEST_REASON:
        raise FinflowError(f"the reason (--why) has {len(text):,} characters: at most {LONGEST_REASON:,} are kept.")
    if any(unicodedata.category(character) in _CONTROL for character in text):
        raise FinflowError("the reason (--why) holds a control or direction character: plain text only.")
    return text


def _not_waiting(name: str, rows: Sequence[PromotionRow], version: int, pending: PromotionRow | None) -> str:
    there = f"version {pending.version} does" if pending is not None else "none does"
    became = fate(rows, version)
    if became is not None:
        return f"version {version} of {name} {became}. Of those that wait now, {there}."
    if any(row.version == version for row in rows):
        return f"version {version} of {name} does not wait for a person, and never did: {there} now. finflow history {name} shows why."
    return f"version {version} of {name} is not in the promotions table: finflow history {name} lists the versions there are; {there} wait."


def _verdict(definition: Definition, rows: Sequence[PromotionRow], pending: PromotionRow, person: str) -> str:
    """What an approval by this person comes to.

    Raises:
        FinflowError: two people must approve, and this one has.
    """
    if not (pending.evidence.get("four_eyes") or definition.gate.four_eyes):
        return APPROVED
    before = approvals_of(rows, pending)
    if not before:
        return FIRST_APPROVAL
    for row in before:
        if same_person(str(row.evidence["by"]), person):
            raise FinflowError(
                f"{row.evidence['by']} has approved version {pending.version} of {definition.name} already (on {row.recorded_at[:10]}): "
                "two different people must, so another has to."
            )
    return APPROVED


def _approved(context: Context, rows: Sequence[PromotionRow], pending: PromotionRow, person: str, why: str, verdict: str) -> PromotionRow:
    if verdict == FIRST_APPROVAL:
        reason = f"first approval, by {person}: {why}. Nothing moves until a second person approves version {pending.version}."
        return _row(context.definition, rows, pending, verdict, person, why, reason, pending.effective_as_of)
    effective = max(pd.Timestamp(pending.effective_as_of), resolve_as_of(context, None)).isoformat()
    before = "".join(f"{row.evidence['by']} ({row.evidence['why']}) and " for row in approvals_of(rows, pending))
    reason = f"approved by {before}{person}: {why}. {pending.candidate} becomes champion. {pending.evidence.get('accepted', '')}".rstrip()
    return _row(context.definition, rows, pending, verdict, person, why, reason, effective)


def _rejected(definition: Definition, rows: Sequence[PromotionRow], pending: PromotionRow, person: str, why: str) -> PromotionRow:
    reason = f"rejected by {person}: {why}. The champion stays as it is."
    return _row(definition, rows, pending, REJECTED, person, why, reason, pending.effective_as_of)


def _row(
    definition: Definition,
    rows: Sequence[PromotionRow],
    pending: PromotionRow,
    verdict: str,
    person: str,
    why: str,
    reason: str,
    effective_as_of: str,
) -> PromotionRow:
    """The decision, with the evidence that the version was accepted on; it is no challenge of its own."""
    champion = champion_row(rows)
    approvals = [{"by": row.evidence["by"], "why": row.evidence["why"], "at": row.recorded_at} for row in approvals_of(rows, pending)]
    decided = {"by": person, "why": why, "before": approvals, "proposed_by": pending.run_key}
    key = {"definition": definition.name, "version": pending.version, "verdict": verdict, "after": rows[-1].sequence, "by": person}
    return PromotionRow(
        run_key=digest_json(key),
        verdict=verdict,
        candidate=pending.candidate,
        family=pending.family,
        version=pending.version,
        previous_version=None if champion is None else champion.version,
        effective_as_of=effective_as_of,
        reason=reason,
        test_end=pending.test_end,
        evidence={**pending.evidence, **decided},
        recipe=pending.recipe,
        data_version=pending.data_version,
        data_digest=pending.data_digest,
        code_version=pending.code_version,
        manifest_digest=pending.manifest_digest,
    )
