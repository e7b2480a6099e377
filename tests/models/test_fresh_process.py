"""A fit in a process of its own: the same bits, a clean standard output, no network, no files left."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from finflow.models.kernels import KERNELS
from tests.support.models.network_cases import FAMILIES, fit, network, noise, panel

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = """
import hashlib, json, sys
seen = []
sys.addaudithook(lambda event, _: seen.append(event) if event.startswith(("socket.", "urllib.", "ftplib.", "subprocess.")) else None)
from tests.support.models.network_cases import FAMILIES, fit, network, noise, panel
samples, task = panel(noise())
digests = {}
for name in FAMILIES:
    model = network(name, task)
    fit(model, samples)
    digests[name] = hashlib.sha256(model.predict(samples).values.tobytes()).hexdigest()
json.dump({"digests": digests, "seen": seen}, open(sys.argv[1], "w"))
"""


def test_fits_in_a_fresh_process(tmp_path: Path) -> None:
    samples, task = panel(noise())
    expected = {}
    for name in FAMILIES:
        model = network(name, task)
        fit(model, samples)
        expected[name] = hashlib.sha256(np.ascontiguousarray(model.predict(samples).values).tobytes()).hexdigest()
    folder, temporary = tmp_path / "work", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    # Other thread counts and another hash seed than this process: none of them may reach the bits.
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(temporary), "OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "77"}
    # Who fits or predicts outside finflow's commands has set no kernels: the models see to them.
    for name in KERNELS:
        environment.pop(name)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "found.json")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["digests"] == expected
    assert found["seen"] == [], "a fit opened a socket or started a program"
    assert done.stdout == ""
    assert done.stderr == ""
    assert list(folder.iterdir()) == []
    assert list(temporary.iterdir()) == []
