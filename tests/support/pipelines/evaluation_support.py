"""Evaluations made of simulated daily losses, for tests of the gate and of what comes after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from finflow.models.samples import Float64
from finflow.pipelines.core.manifests import CandidateEvaluation, Evaluation
from finflow.pipelines.core.sight import Sight
from finflow.pipelines.evaluation.comparisons import Compared, compare_all, superior
from finflow.pipelines.evaluation.store import store_evaluation
from finflow.pipelines.settings.parts import Recipe

MODELS = {"random-walk": "random_walk", "historical-mean": "historical_mean", "ridge": "ridge", "arima": "arima", "lstm": "recurrent"}
BASELINES = ("random-walk", "historical-mean", "ridge")


def recipe(name: str) -> Recipe:
    return Recipe(model=MODELS.get(name, "dense"), settings={} if name in MODELS else {"hidden": [1 + len(name)]})


def losses_of(effects: Mapping[str, float], dates: int, seed: int = 0, noise: float = 0.3) -> dict[str, Float64]:
    """One loss a date by entry: the reference's has mean about 1, the others' are better by their effect, with noise of their own."""
    generator = np.random.default_rng(seed)
    base = np.abs(generator.normal(size=dates)) * 0.5 + 0.6
    found = {}
    for name, effect in effects.items():
        own = generator.normal(size=dates) * noise
        found[name] = base - effect * base.mean() + (0.0 if name == "random-walk" else own - own.mean())
    return found


def evaluation_of(
    losses: Mapping[str, Float64],
    *,
    run_key: str = "run",
    champion: str | None = None,
    start: str = "2015-01-01",
    as_of: str | None = None,
    folder: Path | None = None,
    invalid: Mapping[str, str] | None = None,
    compare: bool = True,
    replications: int = 999,
    looks: int = 0,
    sight: Sight | None = None,
    seed: int = 1,
) -> Evaluation:
    """The evaluation of these losses, on consecutive days from `start`; written to `folder`, if one is given.

    Args:
        as_of: an ISO instant; the end of the last day by default.
        compare: whether to compare at all; a night on which nothing is decided about a baseline needs none.
        looks, sight: what was looked at before; comparisons are of the last `sight.decided` days, if any are.
    """
    count = len(next(iter(losses.values())))
    times = pd.date_range(start, periods=count).to_numpy()
    baselines = {name: name in BASELINES for name in losses}
    known = {name: np.full(count, np.nan) if name in (invalid or {}) else values for name, values in losses.items()}
    compared: dict[str, Compared] = {}
    if compare:
        last = sight.decided if sight is not None and sight.decided else count
        decisive = {name: values[-last:] for name, values in known.items()}
        compared = compare_all(
            decisive,
            baselines,
            champion,
            "random-walk",
            horizon=1,
            seed=seed,
            replications=replications,
        )
    candidates = [
        CandidateEvaluation(
            candidate=name,
            family="network" if not baselines[name] else "classical",
            model=recipe(name).model,
            baseline=baselines[name],
            recipe=recipe(name).model_dump(mode="json"),
            recipe_digest=recipe(name).digest,
            seeds=1,
            metrics=(),
            fold_losses={},
            seed_losses={},
            invalid=(invalid or {}).get(name),
            **vars(compared.get(name, Compared((), (), None))),
        )
        for name in losses
    ]
    candidates.sort(key=lambda one: (one.invalid is not None, float(losses[one.candidate].mean())))
    evaluation = Evaluation(
        run_key=run_key,
        definition="tiny",
        as_of=as_of or f"{pd.Timestamp(times[-1]).date()}T22:00:00+00:00",
        loss="mae",
        dates=count,
        first_date=str(pd.Timestamp(times[0]).date()),
        last_date=str(pd.Timestamp(times[-1]).date()),
        folds=(),
        candidates=tuple(candidates),
        superior=superior(compared, baselines, 0.05),
        folder=str(folder or ""),
        protocol="simulated losses",
        reference="random-walk",
        horizon=1,
        champion=champion,
        looks_before=looks,
        sight=sight,
    )
    if folder is not None:
        frames = [
            pd.DataFrame({"time": times, "entity": "A", "fold": "one", "candidate": name, "mae": values}) for name, values in known.items()
        ]
        store_evaluation(evaluation, "inputs", lambda target: pd.concat(frames).to_parquet(target / "losses.parquet"))
    return evaluation
