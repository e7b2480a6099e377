"""MLflow's aliases champion, previous and pending: they follow the promotions table, and are put right where a crash left them behind.

An alias has no compare-and-swap. So whoever writes one reads the table again afterwards, and goes on until it did not change in between:
whichever process writes last has then written what the last decision says, on one host or on many.

The registered model also has the head of the decisions' chain as a tag: an older lake that was put back alone does not go on from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from finflow.pipelines.core.errors import FinflowError, RegistryError, StateError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.conflicts import ATTEMPTS
from finflow.pipelines.lake.heads import mark, mark_fault
from finflow.pipelines.lake.pending import approvals_of, command, fate, pending_row
from finflow.pipelines.lake.promotions import HEAD_ACCEPTED, PromotionRow, Promotions, champion_row
from finflow.pipelines.tracking.store import store_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

CHAMPION_ALIAS = "champion"
PREVIOUS_ALIAS = "previous"
PENDING_ALIAS = "pending"
HEAD_TAG = "finflow.head"
_DESCRIPTION = 5000  # characters that MLflow keeps


def repair_aliases(context: Context) -> None:
    """Let the aliases catch up with the promotions table where a crash left them behind.

    Raises:
        RegistryError: an alias names a version that never was champion: somebody moved it by hand; or the champion's version is gone.
        StateError: the table does not go on from the head that the registry remembers.
    """
    for _ in range(ATTEMPTS):  # after so many decisions in between this process leaves the aliases to those that made them
        rows, seen = context.promotions.snapshot()
        if not any(row.version for row in rows):
            return
        stray = _follow(store_client(context.home), context.promotions.name, rows)
        if context.promotions.lake.version(context.promotions.table) == seen:
            if stray is not None:
                raise stray
            return


def _follow(client: MlflowClient, name: str, rows: Sequence[PromotionRow]) -> FinflowError | None:
    """Put the aliases and the head where `rows` say; or what is wrong with them, unless the rows are older than what moved them."""
    found = _registered(client, name)
    aliases, head = _aliases(found), found.tags.get(HEAD_TAG)
    fault = head_fault(name, head, rows)
    if fault:
        return StateError(fault)
    champion, current = champion_row(rows), aliases.get(CHAMPION_ALIAS)
    accepted = rows[-1].verdict == HEAD_ACCEPTED  # then the alias may name a version whose decision was lost
    if current is not None and not accepted and current not in {row.version for row in rows if row.moves}:
        stands = "there is none" if champion is None else f"version {champion.version}"
        return RegistryError(
            f"the alias {name}@{CHAMPION_ALIAS} names version {current}, which was never promoted; the promotions table says {stands}. "
            "Delete the alias in MLflow and run the command again; to change the champion, train or use finflow rollback."
        )
    if champion is not None:
        _move(client, name, champion, aliases)
    _show_pending(client, name, rows, aliases.get(PENDING_ALIAS))
    now = mark(rows[-1].sequence, rows[-1].digest)
    if rows[-1].digest and head != now:
        client.set_registered_model_tag(name, HEAD_TAG, now)
    return None


def check_registered_head(client: MlflowClient, promotions: Promotions) -> None:
    """See that the promotions table goes on from the head that the registry remembers.

    Raises:
        StateError: it does not; says what to do. It is no fault of a version's.
    """
    head = _registered(client, promotions.name).tags.get(HEAD_TAG)  # before the rows: they may only be newer
    fault = head_fault(promotions.name, head, promotions.rows())
    if fault:
        raise StateError(fault)


def remembered_head(home: Home, name: str) -> str | None:
    """The head of a definition's chain that the registry remembers; None where it has no such model, or no tag."""
    found = store_client(home).search_registered_models(f"name = '{name}'")
    return found[0].tags.get(HEAD_TAG) if found else None


def remembered_fault(home: Home, name: str, rows: Sequence[PromotionRow]) -> str | None:
    """Why these decisions do not go on from the head that the registry remembers; None where they do, or there is none."""
    return head_fault(name, remembered_head(home, name), rows)


def head_fault(name: str, head: str | None, rows: Sequence[PromotionRow]) -> str | None:
    """Why the decisions do not go on from the head that the registry remembers, and what to do; None where they do, or there is none."""
    if head is None or any(head in row.evidence["accepted"] for row in rows if row.verdict == HEAD_ACCEPTED):
        return None
    fault = mark_fault(head, [row.digest for row in rows])
    return (
        None
        if fault is None
        else (
            f"{name}: {fault} (the tag {HEAD_TAG} of the registered model). Nothing goes on over such a record: put lake and MLflow "
            f"store back together from a backup; or a person accepts it: finflow verify {name} --accept-head --by WHO --why TEXT"
        )
    )


def _move(client: MlflowClient, name: str, row: PromotionRow, aliases: dict[str, int]) -> None:
    if aliases.get(CHAMPION_ALIAS) == row.version and aliases.get(PREVIOUS_ALIAS) == row.previous_version:
        return
    told = f"{row.verdict} on {row.recorded_at[:10]}, as of {row.effective_as_of}: {row.reason}"
    if not _describe(client, name, row.version, told):
        raise RegistryError(
            f"version {row.version} of {name}, which the promotions table says is champion, is not in the registry: somebody deleted it. "
            f"Put the champion before it back (finflow rollback {name} --why TEXT), or train again."
        )
    if (
        row.previous_version is not None
        and aliases.get(PREVIOUS_ALIAS) != row.previous_version
        and _exists(client, name, row.previous_version)
    ):
        _set(client, name, PREVIOUS_ALIAS, row.previous_version)
    if aliases.get(CHAMPION_ALIAS) != row.version:
        _set(client, name, CHAMPION_ALIAS, row.version)


def _show_pending(client: MlflowClient, name: str, rows: Sequence[PromotionRow], current: int | None) -> None:
    """The alias and the descriptions of what waits, and of what waited; a description goes first, so that a crash between is mended."""
    row = pending_row(rows)
    if current is not None and (row is None or current != row.version):
        champion = champion_row(rows)
        if champion is None or champion.version != current:
            _describe(client, name, current, f"This version {fate(rows, current) or 'was never proposed'}.")
        if row is None:
            client.delete_registered_model_alias(name, PENDING_ALIAS)
    if row is None:
        return
    told = f"Pending since {row.recorded_at[:10]}, as of {row.effective_as_of}: {row.reason} "
    told += "".join(f"Approved by {one.evidence['by']}; one more must. " for one in approvals_of(rows, row))
    told += f"To approve it: {command('approve', name, row.version)}"
    if _describe(client, name, row.version, told) and current != row.version:
        _set(client, name, PENDING_ALIAS, row.version)


def _set(client: MlflowClient, name: str, alias: str, version: int | None) -> None:
    """Let an alias name a version. MLflow looks for the alias and then inserts it: of two that do so at once, one meets the other's row."""
    from mlflow.exceptions import MlflowException

    try:
        client.set_registered_model_alias(name, alias, str(version))
    except MlflowException:
        if alias not in _aliases(_registered(client, name)):
            raise
        client.set_registered_model_alias(name, alias, str(version))  # it is there now, so this is an update


def _describe(client: MlflowClient, name: str, version: int | None, text: str) -> bool:
    """Let a version's description say `text`; False if there is no such version."""
    from mlflow.exceptions import MlflowException

    try:
        if client.get_model_version(name, str(version)).description != text[:_DESCRIPTION]:
            client.update_model_version(name, str(version), description=text[:_DESCRIPTION])
    except MlflowException as error:
        if _is_missing(error):
            return False
        raise
    return True


def _exists(client: MlflowClient, name: str, version: int) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_model_version(name, str(version))
    except MlflowException as error:
        if _is_missing(error):
            return False
        raise
    return True


def _is_missing(error: Exception) -> bool:
    return getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST"


def _aliases(found: RegisteredModel) -> dict[str, int]:
    return {alias: int(version) for alias, version in found.aliases.items()}


def _registered(client: MlflowClient, name: str) -> RegisteredModel:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if not _is_missing(error):
            raise
        raise RegistryError(
            f"the registry has no model {name}, but the promotions table has: is the tracking URI the right one? ({error})"
        ) from None
