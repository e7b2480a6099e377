"""Rows of the promotions table for tests."""

from __future__ import annotations

from dataclasses import replace

from finflow.pipelines.lake.promotions import PromotionRow


def row(run_key: str, verdict: str, as_of: str, version: int | None = None, **changes: object) -> PromotionRow:
    made = PromotionRow(
        run_key=run_key,
        verdict=verdict,
        candidate="random-walk",
        family="random walk",
        version=version,
        previous_version=None,
        effective_as_of=f"{as_of}T22:00:00+00:00",
        reason=f"because of {run_key}: 5 % 回撤",
        level=0.03,
        challenge=1,
        test_end=as_of,
        evidence={"p": 0.25, "nothing": None, "列": ["a"]},
        recipe={"model": "random_walk", "settings": {}},
        data_version=4,
        data_digest="d" * 32,
        code_version="c",
        manifest_digest=f"m{version}" if version else "",
    )
    return replace(made, **changes)  # type: ignore[arg-type]
