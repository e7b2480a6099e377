"""`check-leakage` sees samples that read what was known only later, names the column, and says how much was revised."""

from __future__ import annotations

import numpy as np
import pandas as pd

from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.leakage.check import as_known, check_rows
from finflow.pipelines.samples.windows import build_samples
from tests.support.pipelines.bars import bars, definition
from tests.support.pipelines.revised import built, latest_of, revised

FEATURES = [{"kind": "log_return", "name": "return"}, {"kind": "value", "column": "volume", "name": "mood"}]
MADE = definition(features=FEATURES, candidates={"dense": {"model": "historical_mean"}})


def knows_tomorrow(made: Definition) -> pd.DataFrame:
    """Bars whose volume is noise at first, and ten days later the return of the next day."""
    rows = revised(made, bars(300), (), seed=0, share=0.0)
    tomorrow = rows.groupby("entity")["close"].transform(lambda close: np.log(close).diff().shift(-1))
    later = rows.assign(volume=tomorrow, known_at=rows["known_at"] + pd.Timedelta(days=10)).dropna()
    return pd.concat([rows, later]).sort_values(["entity", "time", "known_at"], ignore_index=True)


def test_samples_of_the_latest_revisions_fail_and_the_column_is_named() -> None:
    rows = knows_tomorrow(MADE)
    latest = build_samples(MADE, latest_of(MADE, rows))
    found = as_known(MADE, rows, latest)
    assert not found.passed
    assert found.columns == ("mood",)
    assert "volume of 598 of 600 rows was revised after" in found.detail


def test_samples_of_what_was_known_pass_and_it_is_said_how_much_was_revised() -> None:
    rows = knows_tomorrow(MADE)
    found = as_known(MADE, rows, built(MADE, rows))
    assert found.passed, found.detail
    assert "volume of 598 of 600 rows was revised after" in found.detail
    assert found.columns == ()


def test_the_whole_check_holds_it_among_the_others() -> None:
    rows = revised(MADE, bars(300), ("close",), seed=0, share=0.02, late=0.02)
    report = check_rows(MADE, latest_of(MADE, rows), pd.Timestamp("2016-02-26 22:00", tz="UTC"), rows)
    assert [check.name for check in report.checks if not check.passed] == []
    found = next(check for check in report.checks if check.name == "features are as they were known")
    assert "rows came only after the publication of their session" in found.detail
