"""The newcomer's run, over small data: what it prints, the addresses that it names, and README's Python block on what it left."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from finflow.pipelines.core.home import Home
from tests.support import REPOSITORY, Finflow, tiny_values, warm, write_definition

#: the command with other data: the shipped ones take a minute and a half
SMALL = """
import os
from finflow.flows.command_line import demo
from finflow.flows.command_line.app import main
demo.MARKET, demo.SIGNAL = os.environ["MARKET"], os.environ["SIGNAL"]
demo.TRAINED_AS_OF, demo.SCORED_AS_OF, demo.BACKFILLED = "2017-06-30", "2017-07-14", ("2017-07-03", "2017-07-14")
main()
"""


@pytest.mark.slow
def test_the_demo_and_the_python_block_of_readme(finflow: Finflow, home: Home, tmp_path: Path) -> None:
    market = write_definition(tmp_path / "market.yaml", tiny_values(name="index-price"))
    signal = write_definition(tmp_path / "signal.yaml", tiny_values(name="signal", source={**tiny_values()["source"], "seed": 4}))
    finflow.environment |= {"MARKET": str(market), "SIGNAL": str(signal)}
    done = finflow.run("demo", program=("-c", SMALL))
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("decision: ") == 2
    assert "index-price as of 2017-07-14: 4 rows by version 1, 4 of them new, 0 in-sample" in done.stdout
    prefect = re.escape(finflow.environment["PREFECT_API_URL"].removesuffix("/api"))
    assert re.search(r"\n  http://127\.0\.0\.1:\d+/#/experiments/\d+/runs\?viewStateShareKey=leaderboard\n    MLflow: ", done.stdout)
    assert re.search(rf"\n  {prefect}/runs\n    Prefect: ", done.stdout)
    assert "finflow check-leakage index-price" in done.stdout

    # As a person has it: the state in .finflow of the working folder.
    (tmp_path / ".finflow").symlink_to(home.root)
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    block = text.partition("<!-- python -->")[2].partition("```python\n")[2].partition("```")[0]
    assert len(block.split("\n")) <= 11, "ten lines"
    block = block.replace('finflow.load("index-price")', f"finflow.load({str(market)!r})")  # the shipped one keeps its name
    shapes = "print(len(board), len(losses) > 0, len(decisions), len(predictions), windows.shape[0], quantiles.shape)"
    environment = {name: value for name, value in finflow.environment.items() if name != "FINFLOW_HOME"}
    ran = warm.run([sys.executable, "-c", f"{block}\n{shapes}"], cwd=tmp_path, env=environment, timeout=120)
    assert ran.returncode == 0, ran.stderr[-4000:]
    assert ran.stdout.startswith("definition: index-price\n"), "the page of `finflow status`"
    assert ran.stdout.splitlines()[-1] == "3 True 1 36 64 (64, 2, 5)"

    exported = finflow.json("export", "index-price", "--start", "2017-07-03", "--end", "2017-07-14", "--to", str(tmp_path / "rows.csv"))
    assert exported["rows"] == len((tmp_path / "rows.csv").read_text().splitlines()) - 1
    refused = finflow.run("rollback", "index-price", "--why", "a try")
    assert refused.returncode == 1
    assert refused.stderr.startswith("finflow: "), "there is no champion before the first"
