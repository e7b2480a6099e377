"""What scenarios must have, whatever their scores: checks that a definition's gate may name."""

from __future__ import annotations

import numpy as np

from finflow.models.base import Prediction
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.manifests import Check
from finflow.pipelines.problems.path_scores import energy_parts, paths_of, steps_of

CHECKS = ("diversity", "stylised_facts")
#: where paths are drawn from the truth, they lie as far from each other as from what came: a ratio of 1
LEAST, MOST = 0.7, 1.43
#: of the held-out excess kurtosis and clustering that drawn paths must have at least
PART = 1.0 / 3.0
_LAGS = range(1, 21)


def scenario_check(name: str, prediction: Prediction, index: SampleIndex) -> Check:
    """`diversity`: the mean distance of two paths over that of a path from what came lies between LEAST and MOST; a collapsed generator,
    which draws one path again and again, has a ratio near 0. `stylised_facts`: steps have tails and cluster at least a third as much as
    the held-out ones do."""
    target = index.target.astype(np.float64)
    if name == "diversity":
        apart, between = energy_parts(prediction, target)
        ratio = float(between.mean() / apart.mean()) if apart.mean() > 0 else float("nan")
        words = f"paths lie {ratio:.2f} times as far from each other as from what came (between {LEAST:g} and {MOST:g} is asked for)"
        return Check(name, LEAST <= ratio <= MOST, words, {"ratio": ratio}, severity=abs(float(np.log(max(ratio, 1e-12)))))
    real, drawn = _facts(steps_of(target)[:, None, :]), _facts(steps_of(paths_of(prediction).astype(np.float64)))
    passed = all(mine >= PART * max(theirs, 0.0) for mine, theirs in zip(drawn, real, strict=True))
    words = (
        f"excess kurtosis {drawn[0]:.1f} (held out {real[0]:.1f}), mean autocorrelation of |r| over {len(_LAGS)} lags {drawn[1]:.3f} "
        f"(held out {real[1]:.3f}); a third of each is asked for"
    )
    figures = {"excess_kurtosis": drawn[0], "clustering": drawn[1]}
    return Check(name, passed, words, figures, severity=max(theirs - mine for mine, theirs in zip(drawn, real, strict=True)))


def _facts(steps: np.ndarray) -> tuple[float, float]:
    """Excess kurtosis, and the mean autocorrelation of |r|, of steps [n, paths, outputs], pooled."""
    centred, size = steps - steps.mean(), np.abs(steps)
    variance = float((centred**2).mean())
    if not variance > 0:
        return -3.0, 0.0
    sizes = size - size.mean()
    spread = float((sizes**2).mean())
    lags = [lag for lag in _LAGS if lag < steps.shape[2]]
    clustering = np.mean([float((sizes[:, :, lag:] * sizes[:, :, :-lag]).mean()) / spread for lag in lags]) if spread > 0 else 0.0
    return float((centred**4).mean()) / variance**2 - 3.0, float(clustering)
