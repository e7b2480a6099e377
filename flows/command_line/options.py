"""The options that `train` and `try` share: which recipes, from which seed, on which hardware."""

from __future__ import annotations

from typing import Annotated

import typer

Candidates = Annotated[str | None, typer.Option("--candidates", help="Only these, comma-separated; every baseline runs.")]
Seed = Annotated[int | None, typer.Option("--seed", help="The first seed (default: the definition's).", min=0, max=2**31 - 1)]
Accelerator = Annotated[str, typer.Option("--accelerator", help="cpu, gpu or auto.")]
Devices = Annotated[int, typer.Option("--devices", help="Devices a fit uses.", min=1)]
Strategy = Annotated[str, typer.Option("--strategy", help="Lightning's strategy.")]
Precision = Annotated[str, typer.Option("--precision", help="Lightning's precision.")]
