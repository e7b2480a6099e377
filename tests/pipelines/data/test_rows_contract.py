"""Rows of applicants through raw table, contract and clean table: text and missing values come through, bad input is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.errors import ContractError, SourceError, StateError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CleanManifest
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.lake.as_of import CORRECTED, read_as_of
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.samples.as_known import view_as_known
from finflow.pipelines.samples.windows import open_samples, store_samples
from tests.support.row_support import loan_rows, loan_values

AS_OF = pd.Timestamp("2022-06-30", tz="UTC")
COLUMNS = ["amount", "income", "age", "purpose", "region", "sex", "defaulted"]


def loans(path: Path, **source: Any) -> Definition:
    values = loan_values(path)
    values["source"] = {**values["source"], **source}
    values["candidates"], values["baselines"] = {"majority": {"model": "majority"}}, {"base-rate": {"model": "class_frequency"}}
    return parse_definition(values)


def landed(home: Home, folder: Path, frame: pd.DataFrame, **source: Any) -> CleanManifest:
    path = folder / "loans.csv"
    frame.drop(columns="chance", errors="ignore").to_csv(path, index=False, date_format="%Y-%m-%d")
    definition = loans(path, **source)
    return validate(open_context(definition, home), ingest(open_context(definition, home)), AS_OF)


def warnings(manifest: CleanManifest) -> dict[str, str]:
    return {result.rule: result.detail for result in manifest.rules if not result.passed}


def test_text_and_what_is_missing_come_through_raw_contract_and_clean(home: Home, tmp_path: Path) -> None:
    frame = loan_rows(300)
    manifest = landed(home, tmp_path, frame)
    assert (manifest.rows, manifest.quarantined, warnings(manifest)) == (300, 0, {})
    lake = Lake(home.lake)
    for table in ("raw/loans", "clean/loans"):
        found = read_as_of(lake, table, AS_OF)
        expected = frame.sort_values(["entity", "time"], ignore_index=True)
        assert found["purpose"].dtype == pd.Series([], dtype="str").dtype
        assert found["purpose"].isna().sum() == frame["purpose"].isna().sum() > 0
        assert found["income"].isna().sum() == frame["income"].isna().sum() > 0
        pd.testing.assert_frame_equal(found[COLUMNS], expected[COLUMNS], check_dtype=False)


def test_rows_without_id_and_time_come_through_too(home: Home, tmp_path: Path) -> None:
    manifest = landed(home, tmp_path, loan_rows(50).drop(columns=["entity", "time"]), numbered="applicant", date="2008-01-01")
    assert (manifest.rows, manifest.entities, manifest.quarantined) == (50, 50, 0)


def test_outcomes_that_are_not_known_yet_are_no_fault(home: Home, tmp_path: Path) -> None:
    frame = loan_rows(300)
    frame.loc[200:, "defaulted"] = np.nan
    assert warnings(landed(home, tmp_path, frame)) == {}


@pytest.mark.parametrize(
    ("outcome", "said"),
    [(0.0, "defaulted holds '0', none of the last class"), (1.0, "all of the last class"), (np.nan, "no outcome is known")],
)
def test_an_outcome_of_one_class_stops(home: Home, tmp_path: Path, outcome: float, said: str) -> None:
    with pytest.raises(ContractError, match=f"rule both_classes: .*{said}"):
        landed(home, tmp_path, loan_rows(50).assign(defaulted=outcome))


def test_an_empty_and_a_constant_column_are_warned_of(home: Home, tmp_path: Path) -> None:
    manifest = landed(home, tmp_path, loan_rows(50).assign(income=np.nan, amount=5.0, region="north", purpose=None))
    assert warnings(manifest) == {
        "no_empty_column": "income, purpose are empty in all 50 rows",
        "not_constant": "amount is 5 throughout; region is 'north' throughout",
    }


def test_numbers_that_turned_into_words_are_named_by_the_source(home: Home, tmp_path: Path) -> None:
    frame = loan_rows(50)
    landed(home, tmp_path, frame)
    with pytest.raises(SourceError, match="data row 1, column 'amount': 'a lot' is no number"):
        landed(home, tmp_path, frame.assign(amount="a lot"))
    with pytest.raises(StateError, match=r"column 'amount': str values do not fit; expected double as in the table. Mend the source"):
        landed(home, tmp_path, frame.assign(amount="a lot"), text=["purpose", "region", "sex", "amount"])


def test_a_number_that_was_text_from_the_first_is_named_by_the_contract(home: Home, tmp_path: Path) -> None:
    text = ["purpose", "region", "sex", "amount"]
    with pytest.raises(
        ContractError, match=r"rule types: amount is str, not a number \(1 of 50 values are words, first 'a lot' of L000049"
    ):
        landed(home, tmp_path, loan_rows(50).assign(amount=[*map(str, range(49)), "a lot"]), text=text)


def test_duplicated_keys_are_quarantined_and_too_many_stop(home: Home, tmp_path: Path) -> None:
    frame = loan_rows(300)
    few = pd.concat([frame, frame.head(2), frame.tail(1).assign(amount=7.0)], ignore_index=True)
    manifest = landed(home, tmp_path, few)
    assert manifest.rows == 299, "copies leave one row, and a row that contradicts another none of the two"
    assert Lake(home.lake).read("quarantine/loans")["rules"].tolist() == ["unique_key"] * 4


def test_a_file_of_which_much_contradicts_itself_stops(home: Home, tmp_path: Path) -> None:
    frame = loan_rows(300)
    with pytest.raises(
        ContractError, match=r"rule few_quarantined: 100 of 300 rows \(33.3%\) broke a rule.*Rows were broken by unique_key"
    ):
        landed(home, tmp_path, pd.concat([frame, frame.head(100).assign(amount=7.0)], ignore_index=True))


def test_an_outcome_that_a_later_batch_brings_was_not_known_before(home: Home, tmp_path: Path) -> None:
    """The window of the settings says 60 days; three came after 300, and one was corrected: no earlier fold may learn from them."""
    frame = loan_rows(300, days=200)
    first = frame.assign(defaulted=frame["defaulted"].mask(frame.index < 3), income=frame["income"].fillna(1.0))
    corrected = frame.assign(income=first["income"])
    corrected.loc[3, "defaulted"] = 1 - corrected.loc[3, "defaulted"]
    corrected.loc[5, "income"] = 9.0
    path = tmp_path / "loans.csv"
    later = pd.Timestamp("2021-06-01T12:00Z")
    for batch, now in ((first, pd.Timestamp("2020-08-01T12:00Z")), (corrected, later)):
        batch.drop(columns="chance").to_csv(path, index=False, date_format="%Y-%m-%d")
        raw = ingest(open_context(loans(path), home), now=now)
    clean = validate(open_context(loans(path), home), raw, AS_OF)
    index = open_samples(store_samples(open_context(loans(path), home), clean).folder).index
    settled = frame["time"].to_numpy("datetime64[ns]") + np.timedelta64(60, "D")
    assert index.labelled.all()
    assert (index.label_end[:4] == later.tz_localize(None).to_numpy()).all(), "brought or changed by the second batch"
    assert (index.label_end[4:] == settled[4:]).all(), "an outcome that stayed as it was, whatever else was corrected in its row"
    assert view_as_known(open_context(loans(path), home), clean, AS_OF, AS_OF.tz_localize(None))[CORRECTED].notna().sum() == 4
