"""Putting the previous champion back, on a person's word."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from finflow.pipelines.core.digest import digest_json
from finflow.pipelines.core.errors import FinflowError, RegistryError
from finflow.pipelines.core.manifests import Decision
from finflow.pipelines.data.knowledge import resolve_as_of
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.conflicts import retry_conflicts
from finflow.pipelines.lake.pending import no_champion
from finflow.pipelines.lake.promotions import PromotionRow
from finflow.pipelines.registry.versions import load_version, repair_aliases

VERDICT = "rolled-back"


def rollback(context: Context, why: str) -> Decision:
    """Make the champion before the present one champion again, and record who is and why.

    The version is loaded and checked first. A second rollback goes one champion further back, not forth again.

    Args:
        why: the reason, for the record.

    Raises:
        RegistryError: there is no champion, none before it, or the earlier version may not be loaded.
        FinflowError: no reason is given.
        ConflictError: other runs kept deciding at the same time.
    """
    if not why.strip():
        raise FinflowError("a rollback needs a reason for the record: --why TEXT.")

    def attempt() -> PromotionRow:
        rows, table_version = context.promotions.snapshot()
        standing = standing_champions(rows)
        if not standing:
            raise RegistryError(no_champion(context.name, rows))
        if len(standing) == 1:
            raise RegistryError(f"version {standing[0].version} of {context.name} is its first champion: there is none to go back to.")
        target, current = standing[-2], standing[-1]
        load_version(context, int(target.version or 0))
        row = _row(context, target, current, rows[-1].sequence, why.strip())
        context.promotions.record(row, table_version)
        return row

    decided = retry_conflicts(attempt, f"{context.name}: other runs kept deciding; nothing was rolled back. Try again.")
    repair_aliases(context)
    return decided.decision


def standing_champions(rows: Sequence[PromotionRow]) -> list[PromotionRow]:
    """The decisions (oldest first) that made the present champion and those before it; what was rolled back is gone from the list."""
    standing: list[PromotionRow] = []
    for row in rows:
        if row.verdict == VERDICT:
            while standing and standing[-1].version != row.version:
                standing.pop()
            if not standing:
                standing.append(row)
        elif row.moves:
            standing.append(row)
    return standing


def _row(context: Context, target: PromotionRow, current: PromotionRow, sequence: int, why: str) -> PromotionRow:
    """The decision; it takes effect with the newest data there are, so that no date before is answered by another version than it was."""
    effective = max(pd.Timestamp(current.effective_as_of), resolve_as_of(context, None))
    return PromotionRow(
        run_key=digest_json({"rollback": context.name, "after": sequence, "to": target.version}),
        verdict=VERDICT,
        candidate=target.candidate,
        family=target.family,
        version=target.version,
        previous_version=current.version,
        effective_as_of=effective.isoformat(),
        reason=f"rolled back from version {current.version} ({current.candidate}) to version {target.version} ({target.candidate}): {why}",
        test_end=target.test_end,
        evidence={"rolled_back_from": current.version},
        recipe=target.recipe,
        data_version=target.data_version,
        data_digest=target.data_digest,
        code_version=target.code_version,
        manifest_digest=target.manifest_digest,
    )
