"""Hostile names, files and addresses through the command line: one message, exit code 1, nothing written, no secret anywhere."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.definition import parse_definition
from tests.support import REPOSITORY, Finflow, tiny_values, warm, write_definition
from tests.support.web_server import Answer, WebServer, web_server

pytestmark = pytest.mark.slow
PASSWORD, KEY = "hunter2-of-ann", "sesame/open you"


@pytest.fixture
def prices() -> bytes:
    """The tiny definition's simulated rows as a CSV file."""
    frame = parse_definition(tiny_values()).source.read()
    return frame.to_csv(index=False).encode()


@pytest.fixture
def server(prices: bytes) -> Iterator[WebServer]:
    with web_server({"/tiny.csv?api_key=sesame%2Fopen%20you": Answer(prices)}) as running:
        yield running


def alone(home: Home, server: WebServer) -> dict[str, str]:
    """The environment of commands with a Prefect server of their own, whose database then lies in the home."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PREFECT_API_URL", "PREFECT_HOME")}
    hosts = f"127.0.0.1:{server.port}"
    return {**environment, "FINFLOW_HOME": str(home.root), "FINFLOW_SOURCE_HOSTS": hosts, "QUOTES_KEY": KEY, "COLUMNS": "120"}


def holding(folder: Path, words: list[str]) -> list[str]:
    """The files whose bytes hold one of the words; databases are emptied into their main file first."""
    for path in folder.rglob("*.db"):
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            found += [f"{path}: {word}" for word in words if word.encode() in content]
    return found


def test_no_secret_is_left_by_a_training_that_ends_well_or_badly(tmp_path: Path, home: Home, server: WebServer) -> None:
    address = f"http://ann:{PASSWORD}@127.0.0.1:{server.port}/tiny.csv?api_key=${{QUOTES_KEY}}"
    definition = write_definition(tmp_path / "tiny.yaml", tiny_values(source={"kind": "csv", "path": address}))
    environment = alone(home, server)
    printed = []

    def run(*arguments: str, code: int = 0, **more: str) -> str:
        done = warm.run([sys.executable, "-m", "finflow.flows", *arguments], cwd=REPOSITORY, env={**environment, **more}, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr[-4000:]
        printed.extend([done.stdout, done.stderr])
        return done.stdout

    shown = json.loads(run("show", str(definition), "--json"))["definition"]["source"]["path"]
    assert shown == f"http://***@127.0.0.1:{server.port}/tiny.csv?api_key=${{QUOTES_KEY}}"
    run("show", str(definition))
    trained = json.loads(run("train", str(definition), "--as-of", "2017-06-30", "--json"))
    assert trained["decision"]["champion"]["version"] == 1
    run("status", str(definition))
    run("report", str(definition))
    server.answers.clear()
    refused = json.loads(run("score", str(definition), "--as-of", "2017-07-14", "--json", code=1))
    assert refused["error"].startswith(f"http://***@127.0.0.1:{server.port}/tiny.csv?api_key=")
    assert "answers 404" in refused["error"]
    run("train", str(definition), code=1, MLFLOW_TRACKING_URI=f"http://ann:{PASSWORD}@127.0.0.1:1", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert (home.prefect / "prefect.db").is_file()
    words = [PASSWORD, KEY, "sesame%2Fopen%20you", "sesame/open%20you"]
    assert holding(home.root, words) == []
    kept = {Path(place).name.partition(":")[0] for place in holding(home.root, [f"***@127.0.0.1:{server.port}"])}
    assert {"prefect.db", "mlflow.db"} <= kept, "the address itself is kept, and so is its redaction"
    assert not [text for text in printed for word in words if word in text]
    assert f"http://***@127.0.0.1:{server.port}" in "".join(printed)


def hostile(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Sources that must be refused, by what the message must hold."""
    bomb = tmp_path / "bomb.parquet"
    times = pa.array(np.zeros(20_000_000, dtype="int64")).cast(pa.timestamp("us"))
    parquet.write_table(pa.table({"date": times, "close": np.zeros(20_000_000)}), bomb, compression="zstd")
    assert bomb.stat().st_size < 200_000
    (tmp_path / "=cmd.csv").write_text("date,close\n2018-01-02,1\n")
    (tmp_path / "turned.csv").write_text("date,entity,open,high,low,close,volume\n2018-01-02,a\u202eb,1,1,1,1,1\n")
    return {
        "outside the folders that sources may read": {"kind": "csv", "path": "file:///etc/passwd"},
        "a link-local address": {"kind": "csv", "path": "http://169.254.169.254/latest/meta-data"},
        "a loopback address": {"kind": "csv", "path": "http://2130706433/x.csv"},
        "no kind of address that is read": {"kind": "csv", "path": "simplecache::file:///etc/passwd"},
        "`maximum_cells_per_byte`": {"kind": "parquet", "path": str(bomb)},
        "begins with = + - or @": {"kind": "csv", "path": str(tmp_path / "=cmd.csv")},
        "holds a control, direction or line-break character": {"kind": "csv", "path": str(tmp_path / "turned.csv")},
    }


def test_hostile_sources_are_refused_in_one_message_and_write_nothing(tmp_path: Path, finflow: Finflow, home: Home) -> None:
    finflow.environment["FINFLOW_SOURCE_HOSTS"] = ""
    for expected, source in hostile(tmp_path).items():
        definition = write_definition(tmp_path / "tiny.yaml", tiny_values(source=source))
        done = finflow.run("validate", str(definition), "--json")
        assert done.returncode == 1, (expected, done.stdout, done.stderr[-2000:])
        said = json.loads(done.stdout)
        assert expected in said["error"], (expected, said)
        assert said["error"].isprintable()
        assert "Traceback" not in done.stderr
        assert not (home.root / "lake").exists()


def test_exported_names_run_no_formula(tmp_path: Path, home: Home) -> None:
    from finflow.pipelines.scoring.export import safe_for_spreadsheets

    frame = pd.DataFrame({"entity": ["=1+1", "ACME"], "q50": [-1.5, 2.0], "note": ["-5", "＝a"]})
    assert safe_for_spreadsheets(frame).to_csv(index=False) == "entity,q50,note\n'=1+1,-1.5,'-5\nACME,2.0,'＝a\n"
