"""The leaderboard as lines of text."""

from __future__ import annotations

from typing import Any

LEGEND = "  (* candidate; columns: change of the loss against that baseline, negative is better, and p that it is no better)"


def leaderboard_lines(outcome: dict[str, Any]) -> list[str]:
    """Best first: the deciding loss with its interval, then the change and p-value against each baseline.

    A negative change means a smaller loss. The p-value is one-sided: that the candidate is no better than the baseline.
    """
    rows, loss = outcome["leaderboard"], outcome["loss"]
    against = [row["candidate"] for row in rows if row["baseline"]]
    header = f"  {'':<16} {'family':<15} {loss.upper() + ' [95 % interval]':<28}" + "".join(f"{short(name):>20}" for name in against)
    lines = [header]
    for row in rows:
        cells = "".join(f"{_against(row, name):>20}" for name in against)
        name = row["candidate"] if row["baseline"] else row["candidate"] + " *"
        lines.append(f"  {name:<16} {row['family']:<15} {_interval(row['metrics'].get(loss)):<28}{cells}")
    return lines


def checks_lines(outcome: dict[str, Any]) -> list[str]:
    """Who failed which backtest; nothing where the gate names none."""
    checked = [row for row in outcome["leaderboard"] if row.get("checks")]
    lines = []
    for row in checked:
        failed = [check["name"] for check in row["checks"] if not check["passed"]]
        lines.append(f"  backtests: {row['candidate']:<22} " + (f"FAILED {', '.join(failed)}" if failed else "passed"))
    return lines


def short(name: str) -> str:
    return f"vs {name}"[:18]


def _interval(metric: dict[str, Any] | None) -> str:
    if metric is None or metric["value"] is None:
        return "not finite"
    if metric["low"] is None:
        return f"{metric['value']:.5f}"
    return f"{metric['value']:.5f} [{metric['low']:.5f}, {metric['high']:.5f}]"


def _against(row: dict[str, Any], baseline: str) -> str:
    effect, p_value = row["effect"].get(baseline), row["p_value"].get(baseline)
    if effect is None:
        return "-"
    chance = "" if p_value is None else " p<0.001" if p_value < 0.001 else f" p={p_value:.3f}"
    return f"{-100 * effect:+.2f} %{chance}"
