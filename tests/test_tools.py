"""The tests' own tools: forked commands are like new ones, what is left behind is ended, and every nightly test has its turn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest

from tests.support import REPOSITORY, choice, warm

PRINT = """import os, sys
print(os.getcwd(), os.environ["COLOUR"], "HOME" in os.environ, sys.argv[1:])
print("no", file=sys.stderr)
sys.exit(3)
"""


def test_a_forked_program_is_like_a_new_one(tmp_path: Path) -> None:
    command, environment = [sys.executable, "-c", PRINT, "a b", "ü"], {"COLOUR": "blue", "PATH": os.environ["PATH"]}
    forked = warm.run(command, cwd=tmp_path, env=environment, timeout=60)
    new = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (forked.returncode, forked.stdout, forked.stderr) == (new.returncode, new.stdout, new.stderr)
    assert new.stdout == f"{tmp_path} blue False ['a b', 'ü']\n"


@pytest.mark.parametrize("arguments", [("list",), ("show", "index-price", "--json"), ("train",), ("show", "nobody", "--json")])
def test_a_forked_command_is_like_a_new_one(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "finflow.flows", *arguments]
    forked = warm.run(command, cwd=REPOSITORY, timeout=60)
    new = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (forked.returncode, forked.stdout, forked.stderr) == (new.returncode, new.stdout, new.stderr)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_forked_program_can_be_ended(number: signal.Signals) -> None:
    process = warm.Popen(
        [sys.executable, "-c", "import time; print('on', flush=True); time.sleep(60)"], cwd=REPOSITORY, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    assert process.poll() is None
    process.send_signal(number)
    assert process.wait(30) == -number
    assert not psutil.pid_exists(process.pid)


def test_one_that_takes_too_long_is_killed() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run([sys.executable, "-c", "import time; time.sleep(60)"], cwd=REPOSITORY, timeout=0.5)


def test_its_fork_server_ends_with_it() -> None:
    program = "import multiprocessing.forkserver as f, time; print(f._forkserver._forkserver_pid, flush=True); time.sleep(60)"
    process = warm.Popen([sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert process.stdout is not None
    server = psutil.Process(int(process.stdout.readline()))
    assert server.ppid() == process.pid
    process.kill()
    process.wait(30)
    server.wait(30)


def test_what_a_killed_test_process_leaves_is_ended() -> None:
    mark = uuid.uuid4().hex
    guard = subprocess.Popen([sys.executable, "-S", str(REPOSITORY / "tests" / "support" / "guard.py"), mark], stdin=subprocess.PIPE)
    ours, others = (
        subprocess.Popen(
            [sys.executable, "-S", "-c", "import time; time.sleep(60)"], env={**os.environ, "TESTS_PROCESS": name}, start_new_session=True
        )
        for name in (mark, os.environ["TESTS_PROCESS"])
    )
    assert guard.stdin is not None
    guard.stdin.close()
    assert ours.wait(30) == -signal.SIGTERM
    assert guard.wait(30) == 0
    assert others.poll() is None
    others.kill()
    others.wait()


def test_every_nightly_test_has_its_turn_within_three_days() -> None:
    names = [f"test-{number}" for number in range(7)]
    for first in (1, 2, 29):
        kept = [choice.names_in_turn(names, "third", day) for day in range(first, first + 3)]
        assert sorted(name for some in kept for name in some) == names
    assert choice.names_in_turn(names, "none", 1) == set()
    assert choice.names_in_turn(names, "all", 1) == set(names)


def test_the_longest_files_are_there() -> None:
    assert [name for name in choice.LONGEST if not (choice.TESTS / name).is_file()] == []
    assert len(set(choice.LONGEST)) == len(choice.LONGEST)
