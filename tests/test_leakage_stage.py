"""The whole pipeline on a column that knows the next day: compared and shown, and promoted by nobody; then verified by an auditor."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from finflow.pipelines.definitions.definition import parse_definition
from tests.support import Finflow, tiny_values, write_definition


def test_a_planted_column_is_shown_and_never_promoted_and_the_record_verifies(finflow: Finflow, tmp_path: Path) -> None:
    frame = parse_definition(tiny_values()).source.read()
    frame["hint"] = frame.groupby("entity")["close"].shift(-1).ffill()
    frame.to_csv(tmp_path / "bars.csv", index=False)
    source = {"kind": "csv", "path": str(tmp_path / "bars.csv"), "columns": {"entity": "entity", "time": "time", "hint": "hint"}}
    features = [{"kind": "log_return", "name": "log_return"}, {"kind": "value", "column": "hint", "name": "hint"}]
    path = str(write_definition(tmp_path / "tiny.yaml", tiny_values(source=source, simulated=False, features=features)))
    outcome = finflow.json("train", path)
    assert {row["candidate"] for row in outcome["leaderboard"]} == {"dense", "ridge", "random-walk"}, "all are compared and shown"
    decision = outcome["decision"]
    assert (decision["verdict"], decision["promoted"], decision["champion"]["version"]) == ("refused", False, None)
    assert "not so: no column knows the target (hint ranks samples as the target does" in decision["reason"]
    assert outcome["leakage"]["passed"] is False
    verified = finflow.json("verify", path)
    assert verified["ok"] is True
    shutil.copytree(finflow.home.lake, tmp_path / "copy")
    loss = next((tmp_path / "copy" / "decided_losses").rglob("*.parquet"))
    loss.write_bytes(loss.read_bytes()[:-20] + b"x" * 20)
    done = finflow.run("verify", "tiny", "--lake", str(tmp_path / "copy"), "--json")
    assert done.returncode == 1
    assert "the losses that it was decided on were changed" in json.loads(done.stdout)["faults"][0]
