"""Can drawn paths be told from held-out ones, do they teach what held-out ones ask, do they repeat the training part?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finflow.models.samples import SampleIndex
from finflow.pipelines.problems.path_scores import drawdown, steps_of
from finflow.pipelines.problems.quantile_scores import identity
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts

#: stretches of dates that take turns as the part that is judged
TURNS = 5
#: drawn paths of a fold that the nearest one is looked for among
_POOL = 2_000
#: steps over which sizes are averaged, as in the HAR of Corsi (2009), and steps ahead that are predicted from them
_SPANS = (1, 5, 22)
_AHEAD = 5


def discriminative_score(paths: NDArray[np.float32], index: SampleIndex, scale: Float64, seed: int) -> MetricParts:
    """How far from one half the accuracy of a classifier is that tells held-out paths from drawn ones (Yoon, Jarrett and van der Schaar
    2019, with boosted trees over a path's features in place of a recurrent network): 0 where it cannot, 0.5 where it always can.

    One drawn path stands against each held-out one. The classifier is fitted on four fifths of the dates and judged on the fifth, in turn,
    in stretches, without the dates whose held-out paths reach into that stretch or out of it: it would know those again.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    target = index.target.astype(np.float64)
    chosen = np.random.default_rng([seed, 2]).integers(0, paths.shape[1], len(paths))
    drawn = paths[np.arange(len(paths)), chosen].astype(np.float64)
    features = np.concatenate([_features(target / scale[:, None]), _features(drawn / scale[:, None])])
    labels = np.repeat((1, 0), len(target))
    turn = np.tile(_turns(index.time), 2)
    begins, ends = np.tile(index.time, 2), np.tile(index.label_end, 2)
    right = np.full(len(labels), np.nan)
    for number in np.unique(turn):
        here = turn == number
        apart = (ends < begins[here].min()) | (begins > ends[here].max())
        if not apart.any():
            continue
        judge = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, learning_rate=0.1, early_stopping=False, random_state=seed)
        judge.fit(features[apart], labels[apart])
        right[here] = judge.predict(features[here]) == labels[here]
    return MetricParts("discriminative_score", (right.reshape(2, -1).mean(axis=0),), lambda share: np.abs(share - 0.5), "lower")


def train_on_synthetic(paths: NDArray[np.float32], target: Float64, scale: Float64) -> MetricParts:
    """R2 on held-out paths of a regression that was fitted on drawn ones (Esteban, Hyland and Raetsch 2017: train on synthetic, test on
    real): the mean size of the next 5 steps by the mean sizes of the last 1, 5 and 22."""
    drawn = _sizes_of(paths[:, :: max(1, paths.shape[1] // 10)][:, :10].astype(np.float64) / scale[:, None, None])
    design, answers = (np.concatenate(part) for part in drawn)
    weights, *_ = np.linalg.lstsq(np.column_stack([np.ones(len(design)), design]), answers, rcond=None)
    real, actual = _sizes_of((target / scale[:, None])[:, None, :])
    error = (actual - weights[0] - real @ weights[1:]) ** 2
    return MetricParts(
        "tstr_r2", (error.mean(axis=1), actual.mean(axis=1), (actual**2).mean(axis=1)), lambda e, m, s: 1.0 - e / (s - m**2), "higher"
    )


def membership(
    paths: NDArray[np.float32], index: SampleIndex, fold: NDArray[np.int64], train: Sequence[SampleIndex], seed: int
) -> MetricParts:
    """How well an attacker tells paths of a fold's training part from held-out ones by the nearest drawn path: the area under the ROC curve
    (Hilprecht, Haertterich and Bernau 2019), 1 where drawn paths are copies. Where nothing was memorised it is 0.5 if both parts are alike.

    Steps are compared at deviation 1, path by path, because the volatility of a period would give it away by itself. Its tails still do:
    with steps of Student's t, 3 degrees in the training part and 8 held out, it is 0.64 without any memory, and 0.36 the other way round.
    So it is to be read beside that of a model which keeps no path, such as `garch_paths`.
    """
    generator = np.random.default_rng([seed, 3])
    share = np.full(len(index), np.nan)
    for number, members in enumerate(train):
        here = np.flatnonzero(fold == number)
        labelled = np.flatnonzero(members.labelled)
        if not len(here) or not len(labelled):
            continue
        flat = paths[here].reshape(-1, paths.shape[2])
        pool = _shapes(flat[generator.choice(len(flat), min(_POOL, len(flat)), replace=False)].astype(np.float64))
        some = labelled[np.unique(np.linspace(0, len(labelled) - 1, min(len(labelled), 4 * len(here))).astype(np.int64))]
        inside = np.sort(_nearest(_shapes(members.target[some].astype(np.float64)), pool))
        outside = _nearest(_shapes(index.target[here].astype(np.float64)), pool)
        share[here] = 0.5 * (np.searchsorted(inside, outside, "left") + np.searchsorted(inside, outside, "right")) / len(inside)
    return MetricParts("membership_auc", (share,), identity, "target", 0.5)


def _turns(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    dates, code = np.unique(times, return_inverse=True)
    return (np.arange(len(dates)) * TURNS // max(len(dates), 1))[code]


def _features(paths: Float64) -> Float64:
    """float64, [n, any]: deviation, asymmetry, tails, clustering, leverage, extent of scaled cumulative paths."""
    steps = steps_of(paths)
    size = np.abs(steps)
    deviation = steps.std(axis=1) + 1e-12
    centred, sizes = steps - steps.mean(axis=1, keepdims=True), size - size.mean(axis=1, keepdims=True)
    spread = (sizes**2).mean(axis=1) + 1e-12
    columns = [deviation, (centred**3).mean(axis=1) / deviation**3, (centred**4).mean(axis=1) / deviation**4]
    columns += [size.max(axis=1) / deviation, np.median(size, axis=1) / deviation, (steps > 0).mean(axis=1), paths[:, -1] / deviation]
    columns += [drawdown(paths) / deviation]
    for lag in (lag for lag in (1, 2, 5, 10, 20) if lag < steps.shape[1]):
        columns.append((sizes[:, lag:] * sizes[:, :-lag]).mean(axis=1) / spread)
        columns.append((centred[:, :-lag] * sizes[:, lag:]).mean(axis=1) / (deviation * np.sqrt(spread)))
        columns.append((centred[:, lag:] * centred[:, :-lag]).mean(axis=1) / deviation**2)
    return np.column_stack(columns)


def _sizes_of(paths: Float64) -> tuple[Float64, Float64]:
    """Of cumulative paths [n, m, outputs]: design, float64 [n, m * any, spans], and answers, float64 [n, m * any]."""
    size = np.abs(steps_of(paths))
    total = np.concatenate([np.zeros((*size.shape[:2], 1)), np.cumsum(size, axis=2)], axis=2)
    ends = np.arange(min(_SPANS[-1], size.shape[2] - 1), max(size.shape[2] - _AHEAD, min(_SPANS[-1], size.shape[2] - 1)) + 1)
    ends = ends[ends < size.shape[2]]
    design = np.stack([(total[:, :, ends] - total[:, :, np.maximum(ends - span, 0)]) / span for span in _SPANS], axis=3)
    last = np.minimum(ends + _AHEAD, size.shape[2])
    answers = (total[:, :, last] - total[:, :, ends]) / (last - ends)
    return design.reshape(len(size), -1, len(_SPANS)), answers.reshape(len(size), -1)


def _shapes(paths: Float64) -> Float64:
    """Steps of cumulative paths [n, outputs] at mean 0 and deviation 1."""
    steps = steps_of(paths)
    steps = steps - steps.mean(axis=1, keepdims=True)
    return steps / (steps.std(axis=1, keepdims=True) + 1e-12)


def _nearest(wanted: Float64, pool: Float64) -> Float64:
    """float64, [n]: the squared distance of each row to the nearest of the pool."""
    squares = np.empty(len(wanted))
    for start in range(0, len(wanted), 256):
        part = wanted[start : start + 256]
        squares[start : start + 256] = ((part**2).sum(1)[:, None] + (pool**2).sum(1)[None] - 2.0 * part @ pool.T).min(axis=1)
    return squares
