"""The whole pipeline on a column that knows the next day: the training ends before a look; mended, it is verified by an auditor."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from finflow.pipelines.definitions.definition import parse_definition
from tests.support import Finflow, tiny_values, write_definition


def test_a_planted_column_ends_the_training_and_the_record_of_the_mended_one_verifies(finflow: Finflow, tmp_path: Path) -> None:
    frame = parse_definition(tiny_values()).source.read()
    frame["hint"] = frame.groupby("entity")["close"].shift(-1).ffill()
    frame.to_csv(tmp_path / "bars.csv", index=False)
    source = {"kind": "csv", "path": str(tmp_path / "bars.csv"), "columns": {"entity": "entity", "time": "time", "hint": "hint"}}
    features = [{"kind": "log_return", "name": "log_return"}, {"kind": "value", "column": "hint", "name": "hint"}]
    values = tiny_values(source=source, simulated=False, features=features)
    path = str(write_definition(tmp_path / "tiny.yaml", values))
    done = finflow.run("train", path, "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)["error"]
    assert "not so: no column knows the target (hint ranks samples as the target does" in told
    assert json.loads(finflow.run("history", path, "--looks", "--json").stdout)["looks"] == []
    values["features"] = features[:1]
    write_definition(tmp_path / "tiny.yaml", values)
    outcome = finflow.json("train", path)
    assert outcome["leakage"]["passed"] is True
    assert outcome["looks"]["looks_before"] == 0, "the refused training looked at nothing"
    verified = finflow.json("verify", path)
    assert verified["ok"] is True
    shutil.copytree(finflow.home.lake, tmp_path / "copy")
    loss = next((tmp_path / "copy" / "decided_losses").rglob("*.parquet"))
    loss.write_bytes(loss.read_bytes()[:-20] + b"x" * 20)
    done = finflow.run("verify", "tiny", "--lake", str(tmp_path / "copy"), "--json")
    assert done.returncode == 1
    assert "the losses that it was decided on were changed" in json.loads(done.stdout)["faults"][0]
