"""`finflow init FILE --outcome COLUMN`: what is drafted from a table of rows loads, meets its contract and has folds to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from finflow.flows.command_line.commands import init
from finflow.pipelines.core.errors import FinflowError, NotEnoughHistoryError, SourceError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.drafts.prices import draft_definition
from finflow.pipelines.settings.yaml_text import MAXIMUM_BYTES
from tests.support import Finflow
from tests.support.pipelines.drafts import can_train
from tests.support.row_support import loan_rows


def applicants(rows: int = 900) -> pd.DataFrame:
    """Numbers, categories, an id, a name, a constant, and who did not pay."""
    frame = loan_rows(rows).drop(columns=["chance", "time"]).rename(columns={"entity": "Applicant ID", "age": "Age (years)"})
    frame["bad"] = frame.pop("defaulted").map({0.0: "no", 1.0: "yes"})
    return frame.assign(surname=[f"Smith{number}" for number in range(rows)], bank="ours")


def drafted(tmp_path: Path, file: Path, outcome: str, positive: str | None = None) -> tuple[Definition, str]:
    text = draft_definition(file, "drafted", outcome, positive)
    path = tmp_path / "drafted.yaml"
    path.write_text(text, encoding="utf-8")
    return load_definition(str(path)), text


def test_a_table_without_dates(tmp_path: Path, home: Home) -> None:
    applicants().to_csv(tmp_path / "a.csv", index=False, sep=";")
    made, text = drafted(tmp_path, tmp_path / "a.csv", "bad")
    source = made.source
    assert (source.delimiter, str(source.date), source.numbered) == (";", "2000-01-01", None)
    assert source.columns["entity"] == "Applicant ID"
    assert source.text == ("purpose", "region", "sex", "bad")
    assert source.ignore == ("surname", "bank")
    assert "# left out: 'surname', nearly every row of which has a value of its own\n" in text
    assert [(one.kind, one.label) for one in made.features] == [
        ("value", "value_amount"),
        ("value", "value_income"),
        ("value", "value_Age (years)"),
        ("category", "category_purpose"),
        ("category", "category_region"),
        ("category", "category_sex"),
    ]
    problem = made.problem
    assert (problem.column, problem.positive, problem.classes) == ("bad", ("yes",), ("no", "yes"))
    assert (problem.costs.false_positive, problem.costs.false_negative) == (1, 1)
    assert {name: one.model for name, one in made.candidates.items()} == {"dense": "tabular_dense", "boosting": "boosting"}
    assert {one.model for one in made.baselines.values()} == {"class_frequency", "tabular_logistic"}
    for word in ("personal", "costs", "protected", "afterwards"):
        assert f"# {word}" in text, word
    assert can_train(made, home) == 5


def test_the_comments_are_settings_once_their_signs_are_gone(tmp_path: Path) -> None:
    applicants().to_csv(tmp_path / "a.csv", index=False)
    text = draft_definition(tmp_path / "a.csv", None, "bad")
    for name, column in (("protected", "sex"), ("afterwards", "length"), ("personal", "name")):
        text = text.replace(f"# {name}: [{column}]", f"{name}: [{'bank' if name == 'afterwards' else 'region'}]")
    read = yaml.safe_load(text)
    assert read["personal"] == ["region"]
    assert read["problem"]["protected"] == ["region"]
    assert read["problem"]["afterwards"] == ["bank"]


def test_a_table_with_dates_is_split_by_time(tmp_path: Path, home: Home) -> None:
    frame = loan_rows(2000, days=900).drop(columns=["chance", "entity"])
    frame["time"] = frame["time"].dt.strftime("%d.%m.%Y")
    frame.loc[:20, "defaulted"] = np.nan
    frame.rename(columns={"time": "Applied on"}).to_csv(tmp_path / "a.csv", index=False)
    made, text = drafted(tmp_path, tmp_path / "a.csv", "defaulted", "0")
    assert (made.source.date_format, made.source.numbered, made.source.date) == ("%d.%m.%Y", "row", None)
    assert made.source.columns["time"] == "Applied on"
    assert (made.folds.kind, made.folds.months) == ("time", 2)
    assert made.problem.positive == ("0",)
    assert "# known_after_days" in text
    assert can_train(made, home) == 5


def test_a_file_without_a_header_and_its_missing_numbers(tmp_path: Path, home: Home) -> None:
    random = np.random.default_rng(0)
    rows = [
        f"{random.choice(['A11', 'A12'])} {random.integers(1, 72)} {random.choice(['?', '12', '8.5'])} {random.integers(1, 3)}"
        for _ in range(400)
    ]
    (tmp_path / "german.data").write_text("\n".join(rows))
    with pytest.raises(SourceError, match="no column 'risk' for --outcome; there are column_1 to column_4, for its first line"):
        draft_definition(tmp_path / "german.data", None, "risk")
    made, _ = drafted(tmp_path, tmp_path / "german.data", "column_4", "2")
    assert (made.source.delimiter, made.source.names) == (" ", ("column_1", "column_2", "column_3", "column_4"))
    assert "?" in made.source.missing
    assert [one.kind for one in made.features] == ["category", "value", "value"]
    assert made.problem.classes == ("no", "yes"), "1 and 2 are no names"
    assert can_train(made, home) == 5


def test_a_parquet_file(tmp_path: Path, home: Home) -> None:
    frame = loan_rows(2000, days=900).drop(columns="chance").rename(columns={"entity": "loanKey", "time": "opened"})
    frame["opened"] += pd.Timedelta(hours=9)
    frame["defaulted"] = frame["defaulted"] == 1
    frame["closed"], frame["tags"] = frame["opened"] + pd.Timedelta(days=9), [["a"]] * len(frame)
    frame.astype({"purpose": "category"}).to_parquet(tmp_path / "a.parquet", index=False)
    made, text = drafted(tmp_path, tmp_path / "a.parquet", "defaulted")
    assert made.source.columns["entity"] == "loanKey"
    assert made.source.columns["time"] == "opened"
    assert made.source.timezone == "UTC"
    assert set(made.source.ignore) == {"closed", "tags"}
    assert "# left out: 'closed', which is a date\n" in text
    assert "# time: 'opened' by its header, of several dates; the others are 'closed'. " in text
    assert made.problem.positive == ("1",)
    assert can_train(made, home) == 5


def dated(**headers: int) -> pd.DataFrame:
    """400 rows of 4 years, with columns of dates so many days after a row; an age and who paid."""
    random = np.random.default_rng(3)
    day = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.sort(random.integers(0, 1460, 400)), unit="D")
    columns = {header: (day + pd.Timedelta(days=after)).strftime("%Y-%m-%d") for header, after in headers.items()}
    return pd.DataFrame({**columns, "age": random.integers(18, 80, 400), "paid": np.arange(400) % 2})


@pytest.mark.parametrize(
    ("headers", "time", "told"),
    [
        (("birth_date", "settled_on", "opened"), "opened", "time: 'opened' by its header, of several dates; the others are 'birth_date', "),
        (("opened", "as_of", "Date"), "Date", "time: 'Date' by its header, of several dates; the others are 'opened', 'as_of'."),
        (("x", "applicationDate"), "applicationDate", "the others are 'x'."),
        (("x",), "x", None),
        (("dateOfBirth",), None, "no time, though there are dates: 'dateOfBirth' is none by its header."),
        (("DOB", "endDate", "due", "maturity", "出生日期"), None, "'DOB' is none by its header, 'endDate' is none by"),
    ],
)
def test_which_date_is_the_time(tmp_path: Path, headers: tuple[str, ...], time: str | None, told: str | None) -> None:
    dated(**dict.fromkeys(headers, 0)).to_csv(tmp_path / "a.csv", index=False)
    made, text = drafted(tmp_path, tmp_path / "a.csv", "paid")
    assert made.source.columns.get("time") == time
    assert made.folds.kind == ("stratified" if time is None else "time")
    assert [one.column for one in made.features] == ["age"]
    notes = [line for line in text.splitlines() if "time: '" in line or "no time" in line]
    assert len(notes) == (told is not None)
    assert told is None or told in notes[0]


def test_a_date_with_empty_cells_is_no_time(tmp_path: Path) -> None:
    dated(opened=0).assign(opened=lambda frame: frame["opened"].where(frame.index > 3)).to_csv(tmp_path / "a.csv", index=False)
    made, text = drafted(tmp_path, tmp_path / "a.csv", "paid")
    assert made.folds.kind == "stratified"
    assert "dates: 'opened' has empty cells. " in text


def test_digits_with_leading_noughts_stay_text(tmp_path: Path, home: Home) -> None:
    frame = dated().assign(zip=["00042", "10115", "?", "04109"] * 100, share=["0.5", "0", "10", "05.5"] * 100)
    frame.to_csv(tmp_path / "a.csv", index=False)
    made, _ = drafted(tmp_path, tmp_path / "a.csv", "paid")
    assert {one.column: one.kind for one in made.features} == {"age": "value", "zip": "category", "share": "value"}
    assert sorted(set(made.source.read()["zip"])) == ["00042", "04109", "10115", "?"]
    assert can_train(made, home) == 5


@pytest.mark.parametrize(
    ("header", "values", "warned"),
    [
        ("customer_id", [f"c{number // 2}" for number in range(400)], True),
        ("Customer", [number // 4 for number in range(400)], True),
        ("customer_id", [f"c{number}" for number in range(400)], False),
        ("customer_id", ["c1"] * 400, False),
        ("number", [number % 7 / 2 for number in range(400)], False),
    ],
)
@pytest.mark.parametrize("dates", [{}, {"opened": 0}])
def test_one_persons_rows_in_training_and_test(tmp_path: Path, dates: dict[str, int], header: str, values: list[Any], warned: bool) -> None:
    """Where rows have a time, and an id that a date has once, the folds keep to it."""
    frame = dated(**dates).assign(**{header: values})
    if dates:  # each id's rows are of one date
        frame["opened"] = frame["opened"].to_numpy()[np.arange(400) // 4 * 4]
    frame.to_csv(tmp_path / "a.csv", index=False)
    made, text = drafted(tmp_path, tmp_path / "a.csv", "paid")
    assert (f"# careful: '{header}' recurs (" in text) == warned
    assert (made.source.numbered == "row") == ("entity" not in made.source.columns)


def test_an_id_that_recurs_on_other_dates_is_the_entity(tmp_path: Path) -> None:
    frame = dated(opened=0)
    frame["opened"] = pd.date_range("2020-01-01", periods=400, freq="3D").strftime("%Y-%m-%d")
    frame.assign(customer_id=np.arange(400) % 50).to_csv(tmp_path / "a.csv", index=False)
    made, text = drafted(tmp_path, tmp_path / "a.csv", "paid")
    assert made.source.columns["entity"] == "customer_id"
    assert "careful" not in text


def test_line_breaks_stay_out_of_the_comments(tmp_path: Path) -> None:
    odd = "bad\nx: 1\r\u2028\x85seed: 7\x07"
    frame = pd.DataFrame({"x": np.arange(300) % 7, "cus\ntomer_id": np.arange(300) // 2, "default\nnext": ["good", odd] * 150})
    for place, file in enumerate(("rows\u2028contract: 1.parquet", "rows\x85name: 2.csv")):
        path = tmp_path / file
        frame.to_parquet(path, index=False) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
        made, text = drafted(tmp_path, path, "default\nnext", odd)
        assert (made.name, made.seed, made.contract.kind) == ("drafted", 1, "table"), place
        assert made.source.columns["default_next"] == "default\nnext"
        assert made.problem.positive == (odd,)
        assert set(made.source.read()["default_next"]) == {"good", odd}
        comments = [line for line in text.splitlines() if line.startswith("#")]
        assert comments[0].startswith(f"# Drafted by `finflow init` from {' '.join(file.split())}: 300 rows, 50.0% of ")
        assert comments[0].endswith(" default next = bad x: 1 seed: 7.")


@pytest.mark.parametrize("outcome", ["paid", None])
def test_a_path_with_a_line_break_is_refused(tmp_path: Path, outcome: str | None) -> None:
    path = tmp_path / "rows\nname: 2.csv"
    dated().to_csv(path, index=False)
    with pytest.raises(SourceError, match=r"rows\\nname: 2.csv': holds a control character, .* rename it"):
        draft_definition(path, "drafted", outcome)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_would_not_load_is_not_written(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    dated().to_csv(path, index=False) if suffix == "csv" else dated().to_parquet(path, index=False)
    to = tmp_path / "to.yaml"
    monkeypatch.setattr("finflow.pipelines.settings.yaml_text.MAXIMUM_BYTES", 500)
    with pytest.raises(FinflowError, match=rf"the definition drafted from .*a.{suffix}: has [\d,]+ bytes, and a definition may have 500"):
        init(home, path, None, to, "paid", None)
    assert not to.exists()
    monkeypatch.undo()
    assert init(home, path, None, to, "paid", None) == {"definition": "a", "path": str(to)}
    assert load_definition(str(to)).name == "a"


def test_a_thousand_columns_with_the_longest_names(tmp_path: Path) -> None:
    """Ten thousand such are within what a definition may have; their header is longer than the csv module lets a cell be."""
    random = np.random.default_rng(0)
    headers = [f"{place:04d}_" + "long_name_" * 13 for place in range(1_000)]
    frame = pd.DataFrame(random.integers(0, 9, (100, 1_000)), columns=headers).assign(paid=np.arange(100) % 2)
    frame.to_csv(tmp_path / "a.csv", index=False)
    made, text = drafted(tmp_path, tmp_path / "a.csv", "paid")
    assert len(made.features) == 1_000
    assert 10 * len(text) < MAXIMUM_BYTES


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        (("0", "1"), "1"),
        (("1", "2"), "2"),
        (("2", "1"), "1"),
        (("no", "yes"), "yes"),
        (("yes", "no"), "yes"),
        (("good", "bad"), "bad"),
        (("kept", "lost"), "lost"),
        (("是", "否"), "是"),
    ],
)
def test_the_class_that_is_looked_for(tmp_path: Path, values: tuple[str, str], positive: str) -> None:
    """The usual one, else the rarer one: here the second."""
    outcome = [values[number % 3 == 0] for number in range(300)]
    pd.DataFrame({"x": np.arange(300) % 7, "时间y": outcome}).to_csv(tmp_path / "a.csv", index=False, encoding="gb18030")
    assert drafted(tmp_path, tmp_path / "a.csv", "时间y")[0].problem.positive == (positive,)


def test_headers_that_no_name_may_hold(tmp_path: Path, home: Home) -> None:
    random = np.random.default_rng(1)
    headers = ["open", "a/b", "A\\B", "=sum", "Period", "date", "..", "__x", "y"]
    frame = pd.DataFrame(random.integers(0, 9, (300, 8)).astype(float), columns=headers[:-1])
    frame["date"] = random.choice(["morning", "night"], 300)
    frame.assign(y=np.arange(300) % 2).to_csv(tmp_path / "a.csv", index=False)
    made, _ = drafted(tmp_path, tmp_path / "a.csv", "y")
    assert dict(made.source.columns) == dict(
        zip(["open_value", "a_b", "A_B_2", "sum", "Period_value", "date_value", "column", "x", "y"], headers, strict=True)
    )
    assert can_train(made, home) == 5


@pytest.mark.parametrize(
    ("change", "options", "error", "told"),
    [
        ({}, ("good", None), SourceError, r"no column 'good' for --outcome; there are 'Applicant ID', 'amount'"),
        (
            {},
            ("purpose", None),
            SourceError,
            r"column 'purpose': has 4 different values \('business', 'car', 'home', 'travel'\), and",
        ),
        ({}, ("bank", None), SourceError, r"column 'bank': has 1 different values \('ours'\), and an outcome has two"),
        ({}, ("bad", "maybe"), SourceError, r"--positive 'maybe' is none of its values 'no' and 'yes'"),
        ({}, (None, "yes"), FinflowError, r"--positive is a value of the outcome: say which column"),
        ({"rows": 60}, ("bad", None), NotEnoughHistoryError, r"60 rows have an outcome"),
        ({"time": "2020-02-01"}, ("bad", None), NotEnoughHistoryError, r"column 'time': its dates span 0.0 months"),
    ],
)
def test_what_cannot_be_drafted(
    tmp_path: Path, change: dict[str, Any], options: tuple[str | None, str | None], error: type[Exception], told: str
) -> None:
    frame = applicants(change.pop("rows", 900)).assign(**change)
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(error, match=told) as caught:
        draft_definition(tmp_path / "a.csv", None, *options)
    assert "\n" not in str(caught.value)


def test_real_files_are_drafted(shared_data: Path, tmp_path: Path) -> None:
    german, _ = drafted(tmp_path, shared_data / "credit_german" / "german.data", "column_21")
    assert german.problem.positive == ("2",)
    assert len(german.features) == 20
    calls, _ = drafted(tmp_path, shared_data / "bank_marketing" / "bank-additional-full.csv.gz", "y")
    assert calls.problem.positive == ("yes",)
    assert [one.kind for one in calls.features].count("category") == 10


@pytest.mark.slow
def test_a_draft_trains_as_it_is(finflow: Finflow, tmp_path: Path) -> None:
    applicants(400).to_csv(tmp_path / "applicants.csv", index=False)
    path = str(tmp_path / "mine.yaml")
    made = finflow.json("init", str(tmp_path / "applicants.csv"), "--outcome", "bad", "--to", path)
    assert made["definition"] == "applicants"
    validated = finflow.json("validate", path)
    assert (validated["rows"], validated["quarantined"]) == (400, 0)
    trained = finflow.json("train", path)
    assert {row["candidate"] for row in trained["leaderboard"]} == {"dense", "boosting", "class-frequency", "logistic"}
    assert finflow.json("score", path)["rows"] == 400
