"""The whole pipeline over card transactions, whose times lie within a day: a night trains, and scores every transaction of the day."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.sources.simulated.card_transactions import CardTransactionsSource
from tests.support import Finflow, write_definition

SOURCE = {"kind": "card_transactions", "customers": 200, "terminals": 150, "days": 164, "fraud": 0.02, "seed": 4}


@pytest.mark.slow
def test_a_night_trains_and_scores_every_transaction_of_the_day(finflow: Finflow, home: Home, tmp_path: Path) -> None:
    values = load_definition("card-fraud").model_dump(mode="json", exclude_defaults=True)
    values |= {
        "name": "cards",
        "source": SOURCE,
        "folds": {"first_test": "2024-04-01", "months": 2, "validation_months": 1},
        "candidates": {"logistic": {"model": "tabular_logistic"}},
        "baselines": {"class-frequency": {"model": "class_frequency"}},
        "gate": {"loss": "log_loss", "minimum_dates": 20},
        "monitoring": {"sessions": 20, "minimum_dates": 10},
    }
    cards = str(write_definition(tmp_path / "cards.yaml", values))
    trained = finflow.json("train", cards, "--as-of", "2024-05-30")
    assert trained["decision"]["champion"]["candidate"] == "logistic"
    assert trained["as_of"] == "2024-05-31T01:00:00+00:00"

    rows = CardTransactionsSource(**SOURCE).read()
    a_day = rows["time"].dt.normalize().value_counts().sort_index()
    scored = finflow.json("score", cards, "--as-of", "2024-06-02")
    assert scored["written"] == a_day[pd.Timestamp("2024-06-02")]
    filled = finflow.json("backfill", cards, "--start", "2024-05-31", "--end", "2024-06-12")
    assert filled["written"] == a_day["2024-05-31":"2024-06-12"].sum() - scored["written"]  # type: ignore[misc]

    found = Lake(home.lake).read("predictions/cards").merge(rows, on=["entity", "time"], how="left", validate="one_to_one")
    assert found["amount"].notna().all()
    assert not found["in_sample"].any()
    fraud, genuine = (found.loc[found["fraud"] == came, "p_fraud"] for came in (1.0, 0.0))
    assert fraud.mean() > 3 * genuine.mean()
    checks = finflow.json("monitor", cards, "--as-of", "2024-06-12")["checks"]
    assert {check["part"] for check in checks if check["status"] == "measured"} == {"data", "features", "loss"}
    assert [check for check in checks if check["alarm"]] == [], "the same world as in training"
    (fresh,) = [check for check in checks if check["check"] == "freshness"]
    assert fresh["value"] == 0
    found = {check["check"]: check for check in checks if check["part"] == "loss"}
    assert (found["log_loss"]["subject"], found["excess loss"]["subject"]) == ("logistic", "class-frequency")
    assert 0 < found["log_loss"]["value"] < 0.1
    assert found["excess loss"]["value"] < -0.1, "the champion is better than the share of frauds by itself"
