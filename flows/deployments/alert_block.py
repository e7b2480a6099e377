"""The Prefect block that automations notify: it keeps the alert in the home's log and sends it to a webhook.

The server imports this module as it starts (flows/servers/prefect_application.py), so that the action `send-notification` finds the class.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from prefect.blocks.abstract import NotificationBlock, NotificationError
from pydantic import Field, SecretStr

from finflow.flows.deployments.alerts import keep_alert, new_alert
from finflow.pipelines.core.home import Home

#: seconds to wait before another try; a server that restarts is back by then
WAITS = (0.0, 1.0, 5.0)
ANSWER_SECONDS = 10.0


class FinflowAlerts(NotificationBlock):
    """Where finflow's alerts go: the log under FINFLOW_HOME of the server's process, and the webhook if one is given."""

    _block_type_name: ClassVar[str] = "finflow alerts"
    _block_type_slug: ClassVar[str] = "finflow-alerts"
    _description: ClassVar[str] = (
        "Keeps an alert in the log that `finflow alerts` shows, and posts it as JSON to a webhook if one is given."
    )

    webhook: SecretStr | None = Field(default=None, title="Webhook", description="Gets each alert as JSON: at, alert, text.")

    async def notify(self, body: str, subject: str | None = None) -> None:
        """Keep and send one alert; the subject says of what kind it is.

        Raises:
            NotificationError: the webhook did not take it after three tries. The log says so too; neither names the webhook's URL.
        """
        home, alert = Home.from_environment(), new_alert(subject or "alert", body)
        keep_alert(home, alert)
        if self.webhook is None:
            return
        trouble = await _post(self.webhook.get_secret_value(), alert)
        if trouble:
            keep_alert(home, new_alert("undelivered", f"the webhook did not take the alert before ({alert['alert']}): {trouble}"))
            raise NotificationError(log=trouble)


async def _post(url: str, alert: dict[str, Any]) -> str | None:
    """Why the webhook did not take the alert, in words without its URL; None if it did."""
    import httpx

    trouble = None
    for wait in WAITS:
        await asyncio.sleep(wait)
        try:
            async with httpx.AsyncClient(timeout=ANSWER_SECONDS, follow_redirects=False) as client:
                answer = await client.post(url, json=alert)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            trouble = type(error).__name__
            continue
        if answer.is_success:
            return None
        trouble = f"it answered {answer.status_code}"
    return trouble
