"""MLflow's aliases champion, previous and pending: they follow the promotions table, and are put right where a crash left them behind.

An alias has no compare-and-swap. So whoever writes one reads the table again afterwards, and goes on until it did not change in between:
whichever process writes last has then written what the last decision says, on one host or on many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from finflow.pipelines.core.errors import RegistryError
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.conflicts import ATTEMPTS
from finflow.pipelines.lake.pending import approvals_of, command, fate, pending_row
from finflow.pipelines.lake.promotions import PromotionRow, champion_row
from finflow.pipelines.tracking.store import store_client

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION_ALIAS = "champion"
PREVIOUS_ALIAS = "previous"
PENDING_ALIAS = "pending"
_DESCRIPTION = 5000  # characters that MLflow keeps


def repair_aliases(context: Context) -> None:
    """Let the aliases catch up with the promotions table where a crash left them behind.

    Raises:
        RegistryError: an alias names a version that never was champion: somebody moved it by hand; or the champion's version is gone.
    """
    for _ in range(ATTEMPTS):  # after so many decisions in between this process leaves the aliases to those that made them
        rows, seen = context.promotions.snapshot()
        if not any(row.version for row in rows):
            return
        stray = _follow(store_client(context.home), context.promotions.name, rows)
        if context.promotions.lake.version(context.promotions.table) == seen:
            if stray:
                raise RegistryError(stray)
            return


def _follow(client: MlflowClient, name: str, rows: Sequence[PromotionRow]) -> str | None:
    """Put the aliases where `rows` say; or what is wrong with them, unless the rows are older than what moved them."""
    aliases = _aliases(client, name)
    champion, current = champion_row(rows), aliases.get(CHAMPION_ALIAS)
    if current is not None and current not in {row.version for row in rows if row.moves}:
        stands = "there is none" if champion is None else f"version {champion.version}"
        return (
            f"the alias {name}@{CHAMPION_ALIAS} names version {current}, which was never promoted; the promotions table says {stands}. "
            "Delete the alias in MLflow and run the command again; to change the champion, train or use finflow rollback."
        )
    if champion is not None:
        _move(client, name, champion, aliases)
    _show_pending(client, name, rows, aliases.get(PENDING_ALIAS))
    return None


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
        if alias not in _aliases(client, name):
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


def _aliases(client: MlflowClient, name: str) -> dict[str, int]:
    from mlflow.exceptions import MlflowException

    try:
        return {alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()}
    except MlflowException as error:
        if not _is_missing(error):
            raise
        raise RegistryError(
            f"the registry has no model {name}, but the promotions table has: is the tracking URI the right one? ({error})"
        ) from None
