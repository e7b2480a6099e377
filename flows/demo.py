"""The newcomer's run: real prices, a planted signal, one date scored, one year backfilled."""

from __future__ import annotations

import time
from typing import Any

from flows.called import called
from flows.display import DISPLAY
from flows.server import prefect_server
from pipelines.fit_process import warm_up_first
from pipelines.home import Home

TRAINED_AS_OF = "2017-12-29"
SCORED_AS_OF = "2018-12-31"
BACKFILLED = ("2018-01-02", "2018-12-31")


def run_demo(home: Home) -> dict[str, Any]:
    """Train index-price on what was known at the end of 2017, so that nothing of 2018 is in-sample; then demo-signal."""
    started = time.monotonic()
    DISPLAY.say("starting the Prefect server (10 to 20 s)")
    warm_up_first(home)
    with prefect_server(home), DISPLAY.live():
        from flows.backfill import backfill_flow
        from flows.score import score_flow
        from flows.train import train_flow

        market = called(train_flow("index-price", TRAINED_AS_OF))
        scored = called(score_flow("index-price", SCORED_AS_OF))
        backfilled = backfill_flow("index-price", *BACKFILLED)
        signal = called(train_flow("demo-signal"))
    return {
        "index_price": market,
        "demo_signal": signal,
        "score": scored,
        "backfill": backfilled,
        "fitted": market["fitted"] + signal["fitted"],
        "reused": market["reused"] + signal["reused"],
        "written": scored["written"] + backfilled["written"],
        "seconds": time.monotonic() - started,
    }
