"""Every suite by its name. To add one: a function in a file here, and a line below."""

from __future__ import annotations

from collections.abc import Callable

from finflow.expectations.bars import bar_rules
from finflow.expectations.rule import Rule
from finflow.expectations.table import table_rules
from finflow.expectations.tuning import Tuning


def suites() -> dict[str, Callable[[Tuning], list[Rule]]]:
    """Suite builders by the name that a definition's `contract.kind` gives."""
    return {"bars": bar_rules, "table": table_rules}
