"""The contract over a real lake: what lands in clean and quarantine, what stops, and what is written once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.digest import digest_frame
from finflow.pipelines.core.errors import ContractError, DefinitionError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CleanManifest, RawManifest
from finflow.pipelines.data.contract import validate
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.lake.as_of import read_as_of
from finflow.pipelines.lake.lake import Lake
from tests.support import tiny_values
from tests.support.expectations.bars import bars
from tests.support.patching import replace_everywhere

AS_OF = pd.Timestamp("2019-12-31", tz="UTC")
NOW = pd.Timestamp("2020-01-02", tz="UTC")


def definition(**contract: Any) -> Definition:
    return parse_definition(tiny_values(calendar=None, contract={"kind": "bars", "minimum_history": 100, **contract}))


def land(home: Home, frame: pd.DataFrame, name: str = "tiny") -> RawManifest:
    """The frame as the next rows of the raw table."""
    frame = frame.assign(period=frame["time"].dt.strftime("%Y").astype("str"))
    version = Lake(home.lake).append(f"raw/{name}", frame)
    return RawManifest(f"raw/{name}", version, len(frame), len(frame), str(frame["time"].min()), str(frame["time"].max()))


def clean_view(home: Home, manifest: CleanManifest) -> pd.DataFrame:
    return read_as_of(Lake(home.lake), manifest.table, pd.Timestamp(manifest.as_of), manifest.version)


def quarantine(home: Home) -> pd.DataFrame:
    return Lake(home.lake).read("quarantine/tiny")


def passed(manifest: CleanManifest, rule: str) -> bool:
    return next(result.passed for result in manifest.rules if result.rule == rule)


def test_faultless_rows_all_become_clean_and_the_manifest_tells_of_them(home: Home) -> None:
    frame = bars()
    manifest = validate(open_context(definition(), home), land(home, frame), AS_OF, now=NOW)
    view = clean_view(home, manifest)
    pd.testing.assert_frame_equal(view[list(frame.columns)], frame, check_dtype=False)
    assert (manifest.rows, manifest.entities, manifest.quarantined, manifest.version) == (600, 2, 0, 0)
    assert manifest.digest == digest_frame(view)
    assert all(result.passed for result in manifest.rules)
    assert Lake(home.lake).version("quarantine/tiny") is None


def test_the_folder_holds_page_suite_and_result(home: Home) -> None:
    manifest = validate(open_context(definition(), home), land(home, bars()), AS_OF, now=NOW)
    folder = Path(manifest.folder)
    assert folder.parent == home.validations
    assert sorted(path.name for path in folder.iterdir()) == ["data_docs.html", "result.json", "suite.json"]
    assert "bar_order" in (folder / "data_docs.html").read_text(encoding="utf-8")
    results = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert [result["success"] for result in results] == [True, True]
    assert [path.name for path in home.validations.iterdir()] == [folder.name]


def test_broken_rows_go_to_quarantine_with_their_rules_and_the_rest_goes_on(home: Home) -> None:
    frame = bars()
    frame.loc[5, "close"] = np.nan
    frame.loc[6, ["high", "volume"]] = [1.0, -5.0]
    frame.loc[7, "close"] = 1e308
    manifest = validate(open_context(definition(), home), land(home, frame), AS_OF, now=NOW)
    assert (manifest.rows, manifest.quarantined) == (597, 3)
    rows = quarantine(home).sort_values("time")
    assert rows["rules"].tolist() == ["not_missing", "bar_order,volume_not_negative", "finite,bar_order"]
    assert rows["volume"].tolist()[1] == -5.0
    assert not passed(manifest, "not_missing")
    assert passed(manifest, "few_quarantined")
    assert set(clean_view(home, manifest)["time"][:7]).isdisjoint(set(frame["time"][5:8]))


def test_the_same_batch_twice_writes_nothing(home: Home) -> None:
    frame = bars()
    frame.loc[5, "close"] = np.nan
    frame = pd.concat([frame, frame.iloc[[5, 9, 9]]], ignore_index=True)
    raw = land(home, frame)
    first = validate(open_context(definition(), home), raw, AS_OF, now=NOW)
    pages = {path: path.stat().st_mtime_ns for path in Path(first.folder).iterdir()}
    again = validate(open_context(definition(), home), raw, AS_OF, now=NOW + pd.Timedelta(days=1))
    assert again == first
    assert Lake(home.lake).version("clean/tiny") == Lake(home.lake).version("quarantine/tiny") == 0
    assert pages == {path: path.stat().st_mtime_ns for path in Path(first.folder).iterdir()}
    assert len(quarantine(home)) == 4


def test_the_order_of_rows_makes_no_difference(home: Home, tmp_path: Path) -> None:
    frame = bars()
    frame.loc[5, "close"] = np.nan
    frame = pd.concat([frame, frame.iloc[[9]].assign(volume=1.0)], ignore_index=True)
    other = Home(tmp_path / "other", str(tmp_path / "other" / "lake"), "sqlite://", None)
    one = validate(open_context(definition(), home), land(home, frame), AS_OF, now=NOW)
    two = validate(open_context(definition(), other), land(other, frame.sample(frac=1.0, random_state=4)), AS_OF, now=NOW)
    assert (one.digest, one.rows, one.quarantined, one.rules) == (two.digest, two.rows, two.quarantined, two.rules)
    assert one.quarantined == 3


def test_new_rows_are_added_and_old_ones_left(home: Home) -> None:
    frame = bars()
    early = frame["time"] < "2019-01-01"
    land(home, frame[early])
    first = validate(open_context(definition(), home), RawManifest("raw/tiny", 0, 0, 0, "", ""), AS_OF, now=NOW)
    second = validate(open_context(definition(), home), land(home, frame[~early]), AS_OF, now=NOW)
    assert (first.version, second.version) == (0, 1)
    assert second.rows == len(frame)
    assert second.digest == digest_frame(clean_view(home, second))
    assert digest_frame(clean_view(home, first)) == first.digest


def test_an_earlier_as_of_reads_the_earlier_rows_and_takes_nothing_away(home: Home) -> None:
    frame = bars()
    raw = land(home, frame)
    late = validate(open_context(definition(), home), raw, AS_OF, now=NOW)
    middle = pd.Timestamp("2018-08-31T22:00", tz="UTC")
    early = validate(open_context(definition(), home), raw, middle, now=NOW)
    assert early.version == late.version
    assert early.rows == int((frame["known_at"] <= middle).sum())
    assert digest_frame(clean_view(home, early)) == early.digest
    assert early.folder != late.folder


def test_every_good_revision_is_clean_so_that_any_as_of_can_be_read(home: Home) -> None:
    frame = bars()
    revised = frame.iloc[[7]].assign(volume=5_000.0, known_at=pd.Timestamp("2019-06-01", tz="UTC").as_unit("us"))
    manifest = validate(open_context(definition(), home), land(home, pd.concat([frame, revised], ignore_index=True)), AS_OF, now=NOW)
    lake = Lake(home.lake)
    assert clean_view(home, manifest)["volume"][7] == 5_000.0
    before = read_as_of(lake, manifest.table, pd.Timestamp("2019-05-01", tz="UTC"), manifest.version)
    assert before["volume"][7] == frame["volume"][7]
    assert manifest.rows == len(frame)


def test_a_correction_that_breaks_a_rule_does_not_take_the_good_row_away(home: Home) -> None:
    frame = bars()
    land(home, frame)
    worse = frame.iloc[[7]].assign(close=np.nan, known_at=pd.Timestamp("2019-06-01", tz="UTC").as_unit("us"))
    manifest = validate(open_context(definition(), home), land(home, worse), AS_OF, now=NOW)
    assert manifest.rows == len(frame)
    assert clean_view(home, manifest)["close"][7] == frame["close"][7]
    assert quarantine(home)["rules"].tolist() == ["not_missing"]
    assert passed(manifest, "few_quarantined")


def test_a_stricter_contract_takes_rows_back_and_a_looser_one_brings_them_again(home: Home) -> None:
    frame = bars()
    frame.loc[7, ["open", "high", "low", "close"]] = [-30.0, -20.0, -40.0, -36.98]
    raw = land(home, frame)
    loose = validate(open_context(definition(allow_negative=True), home), raw, AS_OF, now=NOW)
    strict = validate(open_context(definition(), home), raw, AS_OF, now=NOW)
    assert (loose.rows, strict.rows) == (600, 599)
    assert digest_frame(clean_view(home, strict)) == strict.digest
    assert len(Lake(home.lake).read("clean/tiny")) == 599
    assert digest_frame(clean_view(home, loose)) == loose.digest, "the version that a run recorded stays readable"
    again = validate(open_context(definition(allow_negative=True), home), raw, AS_OF, now=NOW)
    assert (again.rows, again.digest) == (loose.rows, loose.digest)


def test_taking_rows_back_leaves_other_revisions_and_later_rows_alone(home: Home) -> None:
    frame = bars()
    frame.loc[7, ["open", "high", "low", "close"]] = [-30.0, -20.0, -40.0, -36.98]
    revised = frame.iloc[[8]].assign(volume=5_000.0, known_at=pd.Timestamp("2019-02-01", tz="UTC").as_unit("us"))
    raw = land(home, pd.concat([frame, revised], ignore_index=True))
    validate(open_context(definition(allow_negative=True), home), raw, AS_OF, now=NOW)
    strict = validate(open_context(definition(), home), raw, pd.Timestamp("2018-12-31", tz="UTC"), now=NOW)
    whole = Lake(home.lake).read("clean/tiny")
    assert len(whole) == 600, "599 good rows and one revision"
    assert strict.rows == int((frame["known_at"] <= "2018-12-31").sum()) - 1
    assert digest_frame(clean_view(home, strict)) == strict.digest


def test_a_critical_rule_stops_with_one_message_and_nothing_written(home: Home) -> None:
    frame = bars()
    frame.loc[299, "time"] = pd.Timestamp("2099-01-02")
    frame.loc[5, "close"] = np.nan
    raw = land(home, frame)
    with pytest.raises(ContractError) as caught:
        validate(open_context(definition(), home), raw, AS_OF, now=NOW)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("tiny: raw/tiny version 0", "no_future_dates", "AAA 2099-01-02", "severity: {no_future_dates: row}", "not_missing (1 of"):
        assert part in message
    lake = Lake(home.lake)
    assert not lake.exists("clean/tiny")
    assert not lake.exists("quarantine/tiny")
    assert "no_future_dates" in Path(message.split("The page ")[1].split(" shows")[0]).read_text(encoding="utf-8")


def test_the_severity_that_the_message_proposes_works(home: Home) -> None:
    frame = bars()
    frame.loc[299, "time"] = pd.Timestamp("2099-01-02")
    manifest = validate(open_context(definition(severity={"no_future_dates": "row"}), home), land(home, frame), AS_OF, now=NOW)
    assert (manifest.rows, manifest.quarantined) == (599, 1)
    assert quarantine(home)["rules"].tolist() == ["no_future_dates,known_after_close"]


def test_future_days_are_allowed_for(home: Home) -> None:
    frame = bars(start=str(NOW.date() - pd.tseries.offsets.BDay(299)))
    raw = land(home, frame.assign(time=frame["time"] + pd.Timedelta(days=7)))
    with pytest.raises(ContractError, match="no_future_dates"):
        validate(open_context(definition(), home), raw, AS_OF, now=NOW)
    assert validate(open_context(definition(future_days=7), home), raw, AS_OF, now=NOW).quarantined == 0


def test_too_little_history_says_how_much_is_needed(home: Home) -> None:
    with pytest.raises(ContractError, match=r"400 sessions are needed, and the longest history \(AAA\) has 300: 100 more are needed"):
        validate(open_context(definition(minimum_history=400), home), land(home, bars()), AS_OF, now=NOW)


def test_no_row_known_yet_is_said(home: Home) -> None:
    with pytest.raises(ContractError, match="no row is known by the as-of"):
        validate(open_context(definition(), home), land(home, bars()), pd.Timestamp("2001-01-01", tz="UTC"), now=NOW)


def test_a_batch_that_is_mostly_broken_is_the_files_fault(home: Home) -> None:
    frame = bars()
    frame.loc[:40, "close"] = np.nan
    with pytest.raises(ContractError, match=r"few_quarantined: 41 of 600 rows \(6\.8%\).*not_missing"):
        validate(open_context(definition(), home), land(home, frame), AS_OF, now=NOW)
    assert validate(open_context(definition(maximum_quarantined=0.1), home), land(home, frame.iloc[:0]), AS_OF, now=NOW).quarantined == 41


def test_a_file_given_twice_over_loses_no_key(home: Home) -> None:
    frame = bars()
    manifest = validate(open_context(definition(), home), land(home, pd.concat([frame, frame], ignore_index=True)), AS_OF, now=NOW)
    assert (manifest.rows, manifest.quarantined) == (600, 600)
    assert digest_frame(clean_view(home, manifest)) == manifest.digest


def test_a_missing_column_that_the_definition_reads_is_named(home: Home) -> None:
    values = tiny_values(calendar=None, features=[{"kind": "log_change", "column": "turnover"}], contract={"minimum_history": 100})
    with pytest.raises(ContractError, match="rule columns: no column turnover; there are entity, time, open"):
        validate(open_context(parse_definition(values), home), land(home, bars()), AS_OF, now=NOW)


def test_warnings_are_reported_and_take_nothing_away(home: Home) -> None:
    frame = bars()
    frame["volume"] = 0.0
    frame.loc[100:299, ["open", "high", "low", "close"]] *= 3
    manifest = validate(open_context(definition(), home), land(home, frame), AS_OF, now=NOW)
    broken = {result.rule: result.severity for result in manifest.rules if not result.passed}
    assert broken == {"no_jumps": "warning", "not_constant": "warning"}
    assert (manifest.rows, manifest.quarantined) == (600, 0)


def test_rules_about_series_can_quarantine_and_stop(home: Home) -> None:
    frame = bars()
    frame.loc[100:299, ["open", "high", "low", "close"]] *= 3
    raw = land(home, frame)
    manifest = validate(open_context(definition(severity={"no_jumps": "row"}), home), raw, AS_OF, now=NOW)
    assert (manifest.rows, manifest.quarantined) == (599, 1)
    assert quarantine(home)["rules"].tolist() == ["no_jumps"]
    with pytest.raises(ContractError, match="no_jumps: 1 jump:"):
        validate(open_context(definition(severity={"no_jumps": "critical"}), home), raw, AS_OF, now=NOW)


@pytest.mark.parametrize("severity", [{"no_such_rule": "off"}, {"enough_history": "row"}])
def test_severities_that_mean_nothing_are_the_definitions_fault(home: Home, severity: dict[str, str]) -> None:
    with pytest.raises(DefinitionError, match=next(iter(severity))):
        validate(open_context(definition(severity=severity), home), land(home, bars()), AS_OF, now=NOW)


def test_any_table_of_entities_and_times_meets_the_table_contract(home: Home) -> None:
    frame = pd.DataFrame(
        {"entity": ["a", "b", "c"], "time": pd.to_datetime(["2018-01-01"] * 3).as_unit("us"), "close": [-1.0, 2.0, np.inf]}
    )
    frame = frame.assign(entity=frame["entity"].astype("str"), remark="早", known_at=pd.Timestamp("2018-02-01", tz="UTC").as_unit("us"))
    manifest = validate(open_context(definition(kind="table"), home), land(home, frame), AS_OF, now=NOW)
    assert (manifest.rows, manifest.quarantined, manifest.entities) == (2, 1, 2)
    assert clean_view(home, manifest)["remark"].tolist() == ["早", "早"]


def test_trading_days_of_the_calendar_are_checked(home: Home) -> None:
    values = tiny_values(calendar="XNYS", contract={"minimum_history": 100})
    manifest = validate(open_context(parse_definition(values), home), land(home, bars()), AS_OF, now=NOW)
    found = next(result for result in manifest.rules if result.rule == "trading_days")
    assert "AAA 2018-01-01 (Monday)" in found.detail
    assert (found.severity, manifest.quarantined) == ("warning", 0)


def test_shanghai_with_suspensions_limits_and_codes_raises_no_alarm(home: Home) -> None:
    from finflow.pipelines.core.calendars import sessions

    days = sessions("XSHG", "2018-01-01", "2019-06-30")
    frame = bars(("000001", "600519"), days=len(days), seed=5)
    frame["time"] = np.tile(days.to_numpy().astype("datetime64[us]"), 2)
    frame["known_at"] = (frame["time"] + pd.Timedelta(hours=8)).dt.tz_localize("UTC").dt.as_unit("us")
    prices = ["open", "high", "low", "close"]
    frame.loc[50:120, prices] = frame.loc[49, "close"]  # a suspension, reported day by day
    frame.loc[50:120, "volume"] = 0.0
    factor = np.ones(len(frame))
    factor[121 : len(days)] = 1.1**8  # eight limit days when trading begins again
    factor[121:129] = 1.1 ** np.arange(1, 9)
    frame[prices] = frame[prices].mul(factor, axis=0)
    limit = np.round(frame.loc[120, "close"] * 1.1 ** np.arange(1, 9), 2)
    for price in prices:
        frame.loc[121:128, price] = limit
    frame.loc[129 : len(days) - 1, prices] *= limit[-1] / frame.loc[129, "close"]
    frame = frame.drop(index=range(len(days) + 100, len(days) + 104))  # another one, its rows left out
    values = tiny_values(calendar="XSHG", contract={"minimum_history": 100, "price_limit": 0.1})
    manifest = validate(open_context(parse_definition(values), home), land(home, frame), AS_OF, now=NOW)
    assert [result.detail for result in manifest.rules if not result.passed] == []
    assert clean_view(home, manifest)["entity"].unique().tolist() == ["000001", "600519"]


def test_a_run_killed_between_its_two_tables_is_finished_by_the_next(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = bars()
    frame.loc[5, "close"] = np.nan
    raw = land(home, frame)

    def killed(*arguments: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        replace_everywhere(patched, "finflow.pipelines.data.contract_tables.write_clean", killed)
        with pytest.raises(KeyboardInterrupt):
            validate(open_context(definition(), home), raw, AS_OF, now=NOW)
    manifest = validate(open_context(definition(), home), raw, AS_OF, now=NOW)
    assert (manifest.rows, len(quarantine(home)), manifest.version) == (599, 1, 0)


def test_real_files_keep_or_break_the_rules_they_should(home: Home, shared_data: Path) -> None:
    """WTI closed at -36.98 on 2020-04-20; natural gas lacks 2018-01-05; the VIX' early bars are out of order; none has a volume."""
    from finflow.pipelines.data.contract import judge

    now = pd.Timestamp("2026-12-31", tz="UTC")
    found = {}
    for name in ("wti", "natural-gas", "vix"):
        frame = pd.read_csv(shared_data / "market" / f"{name}-daily.csv").rename(columns=str.lower).rename(columns={"price": "close"})
        frame = frame.assign(entity=name, time=pd.to_datetime(frame["date"]).astype("datetime64[us]")).drop(columns="date")
        frame["known_at"] = (frame["time"] + pd.Timedelta(days=1)).dt.tz_localize("UTC")
        judgement = judge(definition(), frame, now)
        broken = judgement.batch[judgement.broken]
        found[name] = (set(judgement.reasons), broken["time"].dt.strftime("%Y-%m-%d").tolist())
        assert not judgement.critical
        loose = judge(definition(allow_negative=True), frame, now)
        assert bool(loose.broken.any()) == (name != "wti")
    assert found["wti"] == ({"positive_prices"}, ["2020-04-20"])
    assert found["natural-gas"] == ({"not_missing"}, ["2018-01-05"])
    assert found["vix"][0] == {"bar_order"}


def test_the_shipped_index_series_meet_their_contract(home: Home) -> None:
    from finflow.pipelines.data.ingest import ingest
    from finflow.pipelines.definitions.loading import load_definition

    shipped = load_definition("index-price")
    manifest = validate(open_context(shipped, home), ingest(open_context(shipped, home)), pd.Timestamp("2018-12-31T23:00", tz="UTC"))
    assert manifest.quarantined == 0
    assert [result.rule for result in manifest.rules if not result.passed] == []
    assert manifest.entities == 2


def test_series_are_judged_on_the_latest_good_revisions(home: Home) -> None:
    """A jump that was corrected is no jump; and what a rule about series quarantines is the row it means, whatever went before it."""
    frame = bars()
    corrected = frame.iloc[[50]].assign(known_at=pd.Timestamp("2019-06-01", tz="UTC").as_unit("us"))
    prices = ["open", "high", "low", "close"]
    frame.loc[50, prices] *= 3
    frame.loc[20, "close"] = np.nan
    frame.loc[100:299, prices] *= 3
    raw = land(home, pd.concat([frame, corrected], ignore_index=True))
    manifest = validate(open_context(definition(severity={"no_jumps": "row"}), home), raw, AS_OF, now=NOW)
    assert (manifest.rows, manifest.quarantined) == (598, 2)
    found = quarantine(home).set_index("rules")["time"]
    assert found["not_missing"] == frame["time"][20]
    assert found["no_jumps"] == frame["time"][100]
    earlier = validate(open_context(definition(), home), raw, pd.Timestamp("2019-05-01", tz="UTC"), now=NOW)
    assert next(result.unexpected for result in earlier.rules if result.rule == "no_jumps") == 3
