"""Alerts: the log that `finflow alerts` shows, and the block that keeps and sends them."""

from __future__ import annotations

import asyncio

import pytest

from finflow.flows.command_line.pages import alerts as page
from finflow.flows.deployments.alerts import LONGEST_TEXT, alerts_path, keep_alert, new_alert, read_alerts
from finflow.pipelines.core.home import Home
from tests.support.flows.hook import SECRET, Hook


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    import finflow.flows.deployments.alert_block

    monkeypatch.setattr(finflow.flows.deployments.alert_block, "WAITS", (0.0, 0.01, 0.01))


def notify(home: Home, webhook: str | None) -> None:
    from pydantic import SecretStr

    from finflow.flows.deployments.alert_block import FinflowAlerts

    block = FinflowAlerts(webhook=None if webhook is None else SecretStr(webhook))
    asyncio.run(block.notify("tiny: Failed. the disk is full", "failed"))


def test_the_log_keeps_order_and_passes_over_a_line_cut_short(home: Home) -> None:
    assert read_alerts(home, 5) == []
    for number in range(4):
        keep_alert(home, new_alert("drift", f"number {number}"))
    with alerts_path(home).open("a") as log:
        log.write('{"at": "2018')
    assert [alert["text"] for alert in read_alerts(home, 3)] == ["number 1", "number 2", "number 3"]
    assert len(read_alerts(home, 100)) == 4
    assert alerts_path(home).stat().st_mode & 0o077 == 0, "for its owner alone"


def test_an_alert_hides_secrets_and_stays_short() -> None:
    alert = new_alert("failed", "no answer from postgresql://ann:Secret99@db/prices " + "x" * 10_000)
    assert "Secret99" not in alert["text"]
    assert len(alert["text"]) == LONGEST_TEXT
    assert alert["at"].endswith("+00:00")


def test_the_page_shows_the_newest_last() -> None:
    alerts = [{"at": "2018-03-12T21:00:07+00:00", "alert": "late", "text": "tiny: late: " + "no row " * 40}]
    lines = page({"alerts": alerts * 2})
    assert lines[0].startswith("2018-03-12 21:00:07  late")
    assert max(map(len, lines)) <= 140
    assert page({"alerts": []}) == ["No alerts."]


def test_without_a_webhook_the_log_has_it(home: Home) -> None:
    notify(home, None)
    assert [(alert["alert"], alert["text"]) for alert in read_alerts(home, 9)] == [("failed", "tiny: Failed. the disk is full")]


@pytest.mark.usefixtures("quick")
def test_a_webhook_gets_it_even_if_it_stumbles_first(home: Home) -> None:
    with Hook(500, 503).listening() as hook:
        notify(home, hook.url)
    assert [alert["text"] for alert in hook.got] == ["tiny: Failed. the disk is full"]
    assert hook.paths == [f"/hooks/{SECRET}"]
    assert len(read_alerts(home, 9)) == 1


@pytest.mark.usefixtures("quick")
def test_a_webhook_that_refuses_is_in_the_log_without_its_secret(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    from prefect.blocks.abstract import NotificationError

    caplog.set_level("INFO")
    with Hook(404, 404, 404).listening() as hook, pytest.raises(NotificationError) as caught:
        notify(home, hook.url)
    assert "404" in caught.value.log
    with pytest.raises(NotificationError):
        notify(home, hook.url)  # nobody listens any more
    kept = read_alerts(home, 9)
    assert [alert["alert"] for alert in kept] == ["failed", "undelivered", "failed", "undelivered"]
    assert "it answered 404" in kept[1]["text"]
    for text in (caught.value.log, alerts_path(home).read_text()):
        assert SECRET not in text
