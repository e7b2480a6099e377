"""Features of two million card transactions (5,000 customers, 10,000 terminals, 180 days): seconds, rows a second and memory, one process.

Measured in a fresh process with one thread, from the simulated rows to the tensor of samples: the point-in-time features of the definition
card-fraud alone, and then all that `build_samples` does. Memory is the process's own peak, the simulated rows included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.benchmarks.figures import record
from tests.support import REPOSITORY

GIBIBYTE = 1024**3

MEASURED = """
import json, resource, time
from finflow.pipelines.definitions.loading import load_definition; from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.samples.features import feature_frame
from finflow.pipelines.samples.windows import build_samples

values = load_definition("card-fraud").model_dump(mode="json")
source = {"kind": "card_transactions", "customers": 5000, "terminals": 10000, "days": 180}
definition = parse_definition({**values, "source": source})
begun = time.perf_counter()
rows = definition.source.read().sort_values(["entity", "time"], ignore_index=True)
read = time.perf_counter()
features = feature_frame(definition, rows)
made = time.perf_counter()
count = features.shape[1]
back = sum(one.kind.endswith(("_before", "_since")) for one in definition.features)
del features
samples = build_samples(definition, rows)
built = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
found = {"rows": len(samples), "features": count, "looking_back": back, "peak": peak}
print(json.dumps({**found, "read": read - begun, "made": made - read, "built": built - made}))
"""


@pytest.mark.benchmark
def test_features_of_two_million_transactions() -> None:
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    answer = subprocess.run([sys.executable, "-c", MEASURED], cwd=REPOSITORY, env=alone, capture_output=True, text=True, check=True)
    found = json.loads(answer.stdout)
    record(
        f"{found['features']} numbers of each of {found['rows']:,} transactions, {found['looking_back']} of them point in time",
        seconds=found["made"],
        at_most=120,
        rows_per_second=found["rows"] / found["made"],
        peak_gibibytes=found["peak"] / GIBIBYTE,
        seconds_with_samples=found["built"],
        seconds_to_simulate=found["read"],
    )
    assert found["rows"] > 1_900_000
    assert found["built"] < 120
    assert found["peak"] < 4 * GIBIBYTE
