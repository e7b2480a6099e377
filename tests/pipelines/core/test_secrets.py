"""Secrets are read where they are used, and shown nowhere."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator

import pytest

from finflow.pipelines.core import redaction
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.redaction import hidden_in_errors, hide_in_logs
from finflow.pipelines.core.secrets import expand, redacted


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    before = dict(redaction._KNOWN)
    redaction._KNOWN.clear()
    yield
    redaction._KNOWN.clear()
    redaction._KNOWN.update(before)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://host/quotes.csv", "https://host/quotes.csv"),
        ("https://ann:hunter2@host/quotes.csv", "https://***@host/quotes.csv"),
        ("https://hunter2@host/quotes.csv", "https://***@host/quotes.csv"),
        ("postgresql+psycopg://ann:hun@ter2/hunter2@host:5432/db", "postgresql+psycopg://***@host:5432/db"),
        ("https://ann:hunter2?hunter2#hunter2@host/x", "https://***@host/x"),
        ("simplecache::https://ann:hunter2@host/x", "simplecache::https://***@host/x"),
        ("https://host/x?symbol=AAPL&api_key=hunter2&day=1", "https://host/x?symbol=AAPL&api_key=***&day=1"),
        ("https://host/x?X-Amz-Signature=hunter2", "https://host/x?X-Amz-Signature=***"),
        ("https://host/x?sv=1&SIG=hunter2#access_token=hunter2", "https://host/x?sv=1&SIG=***#access_token=***"),
        ("cannot read 'https://a:hunter2@h/x' now, nor ftp://b:hunter2@i", "cannot read 'https://***@h/x' now, nor ftp://***@i"),
        ("https://host/x?key=a)b]c}d&e=1", "https://host/x?key=***&e=1"),
        ("https://host/x?key=${MY_KEY}&token=${MINE}x", "https://host/x?key=${MY_KEY}&token=***"),
        ("abfss://prices@acme.dfs.core.windows.net/x", "abfss://prices@acme.dfs.core.windows.net/x"),
        ("write to ann@example.org", "write to ann@example.org"),
        ("a plain sentence; key=value", "a plain sentence; key=value"),
    ],
)
def test_what_is_hidden_and_what_is_not(text: str, expected: str) -> None:
    assert redacted(text) == expected
    assert redacted(redacted(text)) == expected


def test_placeholders_become_values_and_values_placeholders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUOTES_KEY", "hunt/er 2")
    address = expand("https://host/${QUOTES_KEY}/x?day=$1&a=$QUOTES_KEY")
    assert address == "https://host/hunt/er 2/x?day=$1&a=$QUOTES_KEY"
    assert redacted(f"404 for {address}") == "404 for https://host/${QUOTES_KEY}/x?day=$1&a=$QUOTES_KEY"
    assert redacted("GET /hunt%2Fer%202/x and /hunt/er%202/x") == "GET /${QUOTES_KEY}/x and /${QUOTES_KEY}/x"


def test_the_longer_of_two_secrets_is_hidden_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT", "hunter")
    monkeypatch.setenv("LONG", "hunter2000")
    expand("${SHORT}${LONG}")
    assert redacted("hunter2000 hunter") == "${LONG} ${SHORT}"


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "MY_KEY, which is not set"), ("", "MY_KEY, which is not set"), ("a\nb", "line break")]
)
def test_a_variable_that_cannot_be_used_is_named(value: str | None, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(FinflowError, match=expected) as raised:
        expand("https://ann:hunter2@host/${MY_KEY}")
    assert "hunter2" not in str(raised.value)


def test_logs_and_tracebacks_show_no_secret(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogRecordFactory()
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    written = io.StringIO()
    handler, logger = logging.StreamHandler(written), logging.getLogger("somebody.else")
    logger.addHandler(handler)
    try:
        hide_in_logs()
        hide_in_logs()
        logger.error("asking %s for %d", "https://ann:hunter2@host/x", 7)
        try:
            raise OSError("cannot read https://ann:hunter2@host/x")
        except OSError as error:
            logger.exception("it failed")
            sys.excepthook(OSError, error, error.__traceback__)
    finally:
        logging.setLogRecordFactory(before)
        logger.removeHandler(handler)
    text, shown = written.getvalue(), capsys.readouterr().err
    assert "asking https://***@host/x for 7" in text
    assert "OSError: cannot read https://***@host/x" in text
    assert "OSError: cannot read https://***@host/x" in shown
    assert "hunter2" not in text + shown


def test_errors_of_others_lose_their_secrets() -> None:
    with pytest.raises(OSError, match=r"https://\*\*\*@host") as raised, hidden_in_errors():
        raise OSError(5, "cannot read https://ann:hunter2@host/x")
    assert raised.value.args == (5, "cannot read https://***@host/x")


def test_a_record_that_cannot_be_formatted_is_left_to_its_handler() -> None:
    from finflow.pipelines.core.redaction import _HidingFactory

    record = _HidingFactory(logging.LogRecord)("somebody", logging.ERROR, "", 1, "%d", ("no number",), None)
    assert (record.msg, record.args) == ("%d", ("no number",))
