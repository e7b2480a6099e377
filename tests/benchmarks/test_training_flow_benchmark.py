"""The whole training flow on index-price, against bare processes that do the same fits and predictions at the same parallelism.

finflow's time: from the call of the flow to its answer, in an empty home. So it holds ingest, contract, windows, the keys of the fits,
the fits and predictions with their processes and files, evaluation, gate, production fits, registration, logging to MLflow, plots,
report, and all that Prefect does. Not in it: starting Python, its imports, the Prefect server, MLflow's store (made while that server
starts), and the process that fits are forked from (a flow over a tiny definition ran before).

The bare time: from the first fit handed to a pool of processes (forked with the same libraries loaded, samples open, one thread each)
to the last prediction. It holds the fits and predictions of all folds and the production fits, in the same order, and nothing else; the
predictions are compared with the flow's, and are the same to the bit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.figures import record
from tests.support import REPOSITORY, tiny_values, write_definition

AS_OF = "2017-12-29"
PROGRAM = "import sys; from tests.benchmarks.flow_and_bare import main; main(sys.argv[1:])"


@pytest.mark.benchmark
def test_the_whole_training_flow(tmp_path: Path) -> None:
    warm = write_definition(tmp_path / "warm.yaml", tiny_values())
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "index-price", AS_OF, str(warm), str(tmp_path / "home")],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    record(
        "the whole training flow on index-price against bare processes",
        ratio=found["flow_seconds"] / found["bare_seconds"],
        at_most=1.25,
        flow_seconds=found["flow_seconds"],
        bare_seconds=found["bare_seconds"],
        ratio_of_processor_seconds=found["flow_processor_seconds"] / found["bare_processor_seconds"],
        fits=found["fits"],
        processes=found["processes"],
    )
    assert found["fits"] > 60
    assert found["flow_seconds"] / found["bare_seconds"] < 4, "far above what is wanted: something else than noise of the machine"
