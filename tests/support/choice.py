"""Which tests run, and in which order on which worker. `tests/conftest.py` takes these functions over as pytest's hooks.

A file's tests stay together on one worker (`--dist loadfile`), so that what they share is made once; the files that take longest begin
first, so that no worker ends long after the others. Tests marked `nightly` prove at greater cost what another test proves, too:
`--nightly all` runs them, `--nightly third` the third of them whose turn it is on this day of the month.
"""

from __future__ import annotations

import datetime
import os
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
#: the files that take longest, the longest first, by the seconds that their tests took
LONGEST = (
    *(
        "faults/test_kill.py",
        "flows/test_wide_table.py",
        "faults/test_devices.py",
        "flows/servers/test_stack_servers.py",
        "faults/test_servers_killed.py",
    ),
    *("flows/test_scheduled.py", "flows/test_large_panel.py", "faults/test_mlflow_outage.py", "flows/deployments/test_automations.py"),
    *(
        "faults/test_clock.py",
        "flows/deployments/test_deployments.py",
        "pipelines/operating/pruning/test_prune.py",
        "faults/test_promotion_races.py",
        "test_skill.py",
    ),
    *("models/paths/test_scenario_gan.py", "faults/test_disk_full.py", "models/rows/modules/test_table_gan.py", "test_markets.py"),
    *("faults/test_registry_faults.py", "test_whole_pipeline.py", "test_whole_rows.py", "faults/test_hostile_inputs.py"),
)
_DAY = "FINFLOW_TESTS_DAY"  # workers inherit it: midnight may pass between their collections


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option `--nightly`."""
    told = "tests marked nightly: none of them, the third whose turn it is today, or all"
    parser.addoption("--nightly", choices=("none", "third", "all"), default="none", help=told)


def pytest_configure(config: pytest.Config) -> None:
    """Fix the day of this run."""
    os.environ.setdefault(_DAY, str(datetime.datetime.now(datetime.UTC).day))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the nightly tests whose turn it is not, and put the longest files first."""
    left_out = _left_out([item for item in items if item.get_closest_marker("nightly")], config.getoption("nightly"))
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    places = {name: place for place, name in enumerate(LONGEST)}
    files = {item: item.path.relative_to(TESTS).as_posix() for item in items}
    items[:] = sorted((item for item in items if item not in left_out), key=lambda item: places.get(files[item], len(places)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Where the seconds went, and which nightly tests had their turn."""
    files: Counter[str] = Counter()
    speeds: Counter[str] = Counter()
    nightly = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                files[report.nodeid.partition("::")[0]] += report.duration  # type: ignore[assignment]
                speeds["slow tests" if "slow" in report.keywords else "tests"] += report.duration  # type: ignore[assignment]
                if "nightly" in report.keywords and report.when == "call":
                    nightly.append(report.nodeid)
    if sum(files.values()) < 60:
        return
    terminalreporter.section("where the seconds went")
    for name, seconds in [*speeds.most_common(), *files.most_common(25)]:
        terminalreporter.write_line(f"{seconds:7.0f} s  {name}")
    for name in sorted(nightly):
        terminalreporter.write_line(f"nightly, in its turn today: {name}")


def _left_out(nightly: list[pytest.Item], chosen: str) -> set[pytest.Item]:
    in_turn = names_in_turn([item.nodeid for item in nightly], chosen, int(os.environ[_DAY]))
    return {item for item in nightly if item.nodeid not in in_turn}


def names_in_turn(names: list[str], chosen: str, day: int) -> set[str]:
    """Which of these tests run on a day of the month: all, none, or every third."""
    if chosen == "third":
        return set(sorted(names)[day % 3 :: 3])
    return set(names) if chosen == "all" else set()
