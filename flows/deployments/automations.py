"""The automations of infra/automations.yaml on a Prefect server: applied as often as you like, switched off as a person left them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from finflow.flows.runs.zombies import zombie_seconds
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

#: beside the packages, in a clone as where finflow is installed (pyproject.toml ships the folder)
FILE = Path(__file__).parents[2] / "infra" / "automations.yaml"
BLOCK = "finflow"
WEBHOOK = "FINFLOW_ALERT_WEBHOOK"

_WORD = re.compile(r"\$([a-z_]+)")


def apply_automations(home: Home) -> list[str]:
    """Create or bring up to date the automations on the server of PREFECT_API_URL, for the definitions that are deployed there.

    Returns:
        Their names.

    Raises:
        FinflowError: a setting in the environment is wrong.
    """
    from prefect.client.orchestration import get_client

    values = {"alerts": str(_save_block(webhook_url())), "zombie_seconds": zombie_seconds()}
    with get_client(sync_client=True) as client:
        wanted = [automation for entry in read_automations() for automation in _expand(client, entry, values)]
        for automation in wanted:
            _apply(client, automation)
    return [str(automation["name"]) for automation in wanted]


def read_automations(file: Path = FILE) -> list[dict[str, Any]]:
    """The entries of the file, as they are written."""
    import yaml

    entries: list[dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return entries


def webhook_url() -> str | None:
    """FINFLOW_ALERT_WEBHOOK, or None where it is not set.

    Raises:
        FinflowError: it is no http address. The message does not show it, for it may hold a secret.
    """
    text = os.environ.get(WEBHOOK, "").strip()
    if not text:
        return None
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise FinflowError(f"{WEBHOOK} is no address: expected one that begins with https:// or http://.")
    return text


def fill(value: Any, values: dict[str, Any]) -> Any:
    """A copy with $words replaced: a text that is nothing but the word becomes the value itself, with its type.

    Raises:
        FinflowError: a word that is none of `values`.
    """
    if isinstance(value, dict):
        return {key: fill(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, values) for inner in value]
    if not isinstance(value, str):
        return value
    unknown = sorted(set(_WORD.findall(value)) - set(values))
    if unknown:
        raise FinflowError(f"{FILE}: ${unknown[0]} is none of the words {', '.join(f'${name}' for name in sorted(values))}.")
    whole = _WORD.fullmatch(value)
    return values[whole[1]] if whole else _WORD.sub(lambda word: str(values[word[1]]), value)


def _expand(client: SyncPrefectClient, entry: dict[str, Any], values: dict[str, Any]) -> list[dict[str, Any]]:
    """The automation, or one for each definition that is deployed."""
    entry = dict(entry)
    if not entry.pop("for_each_definition", False):
        return [fill(entry, values)]
    return [fill(entry, {**values, **trained}) for trained in _trained(client)]


def _trained(client: SyncPrefectClient) -> list[dict[str, Any]]:
    """Name and deployment `train` of each definition that is deployed."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowFilter, FlowFilterName

    deployments = client.read_deployments(
        flow_filter=FlowFilter(name=FlowFilterName(any_=["train"])),
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=["finflow"])),
    )
    return [{"definition": deployment.name, "train": str(deployment.id)} for deployment in deployments]


def _save_block(webhook: str | None) -> Any:
    from pydantic import SecretStr

    # late: loads prefect
    from finflow.flows.deployments.alert_block import FinflowAlerts

    return FinflowAlerts(webhook=None if webhook is None else SecretStr(webhook)).save(BLOCK, overwrite=True)


def _apply(client: SyncPrefectClient, wanted: dict[str, Any]) -> None:
    from prefect.events.schemas.automations import AutomationCore

    wanted = {**wanted, "trigger": {"type": "event", "posture": "Reactive", **wanted["trigger"]}}
    namesakes = client.read_automations_by_name(wanted["name"])
    if not namesakes:
        client.create_automation(AutomationCore.model_validate(wanted))
        return
    for spare in namesakes[1:]:  # two `up` at once
        client.delete_automation(spare.id)
    there = namesakes[0]
    automation = AutomationCore.model_validate({**wanted, "enabled": there.enabled})
    if _content(there) != _content(automation):
        client.update_automation(there.id, automation)


def _content(automation: Any) -> Any:
    """What an automation says, without the ids that the server gave its parts."""
    from prefect.events.schemas.automations import AutomationCore

    kept = {name: getattr(automation, name) for name in AutomationCore.model_fields}
    return _ordered(AutomationCore.model_validate(kept).model_dump(mode="json", exclude={"owner_resource"}))


def _ordered(value: Any) -> Any:
    """Lists of texts in order: events are sets, and come in any order."""
    if isinstance(value, dict):
        return {key: _ordered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted(value) if all(isinstance(inner, str) for inner in value) else [_ordered(inner) for inner in value]
    return value
