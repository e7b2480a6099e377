"""The newcomer's run: real prices, a planted signal, one date scored, one year backfilled."""

from __future__ import annotations

import time
from typing import Any

from finflow.flows.command_line.outcome import flow_outcome
from finflow.flows.display import DISPLAY
from finflow.flows.servers.interfaces import addresses_of
from finflow.flows.servers.server import prefect_server
from finflow.pipelines.core.home import Home
from finflow.pipelines.fits.process import warm_up_first
from finflow.pipelines.tracking.store import store_client
from finflow.pipelines.training.leaderboard import view_address

MARKET, SIGNAL = "index-price", "demo-signal"
TRAINED_AS_OF = "2017-12-29"
SCORED_AS_OF = "2018-12-31"
BACKFILLED = ("2018-01-02", "2018-12-31")


def run_demo(home: Home) -> dict[str, Any]:
    """Train index-price on what was known at the end of 2017, so that nothing of 2018 is in-sample; then demo-signal."""
    started = time.monotonic()
    DISPLAY.say("starting the Prefect server (10 to 20 s)")
    warm_up_first(home)
    with prefect_server(home), DISPLAY.live():
        # late: loads prefect
        from finflow.flows.backfill import backfill_flow
        from finflow.flows.score import score_flow
        from finflow.flows.train import train_flow

        market = flow_outcome(train_flow(MARKET, TRAINED_AS_OF))
        scored = flow_outcome(score_flow(MARKET, SCORED_AS_OF))
        backfilled = backfill_flow(MARKET, *BACKFILLED)
        signal = flow_outcome(train_flow(SIGNAL))
    return {
        "index_price": market,
        "demo_signal": signal,
        "score": scored,
        "backfill": backfilled,
        "fitted": market["fitted"] + signal["fitted"],
        "reused": market["reused"] + signal["reused"],
        "written": scored["written"] + backfilled["written"],
        "seconds": time.monotonic() - started,
        "look": what_to_look_at(home, market["run_id"]),
    }


def what_to_look_at(home: Home, run_id: str) -> list[dict[str, str]]:
    """The two addresses that `finflow ui` serves over this home, and what a newcomer finds there.

    Args:
        run_id: MLflow's, of the training of index-price.
    """
    at = addresses_of(home)
    experiment = store_client(home).get_run(run_id).info.experiment_id
    return [
        {
            "address": view_address(at["mlflow"], experiment),
            "see": "MLflow: the candidates of index-price side by side; the parent run's note is the report, its artifacts hold the plots",
        },
        {
            "address": f"{at['prefect']}/runs",
            "see": f'Prefect: open "train index-price as of {TRAINED_AS_OF}": stages and fits are its tasks, the decision an artifact',
        },
    ]
