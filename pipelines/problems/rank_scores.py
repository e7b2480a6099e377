"""Metrics of a ranking of two classes: areas, the Kolmogorov-Smirnov distance, and how many are found at the top of each day.

A ranking metric is a function of how both classes are spread over the scores, so of means (see `Cells`): a bootstrap of dates takes it anew
from every draw, ties and all, with no linearisation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finflow.models.samples import Int64
from finflow.pipelines.statistics.metric_parts import Cells, Float64, MetricParts

#: distinct scores beyond which draws are taken over cells of scores
CELLS = 1000


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores of two classes, ordered.

    Attributes:
        cells: of score and class: twice the score's cell, and 1 more where the last class came.
        above: float64, [1, 2, distinct]: part of the samples with each distinct score, highest first, of the first class and of the last.
    """

    cells: Cells
    above: Float64


def ranking(score: Float64, code: Int64) -> Ranking:
    """Order the samples.

    Args:
        score: float64, [n], finite.
        code: int64, [n]; 1 where the last class came, else 0.
    """
    distinct, place = np.unique(score, return_inverse=True)
    width = max(len(distinct), 1)
    counts = np.bincount(place + width * code, minlength=2 * width).reshape(1, 2, width)[:, :, ::-1] / max(len(score), 1)
    if len(distinct) > CELLS:
        edges = _edges(score, code)
        place, width = np.searchsorted(edges, score, side="left"), len(edges) + 1
    return Ranking(Cells(2 * place.astype(np.int64) + code, 2 * width), counts)


def _edges(score: Float64, code: Int64) -> Float64:
    """Upper ends of cells, ascending: scores of the last class, each alone in its cell, and of the first between them.

    Areas change at scores of the last class alone: where these are no more than half of the cells, nothing is lost. Else their quantiles
    are taken, and all of the highest, for which precision hangs on each.
    """
    part = CELLS // 4
    positives, other = np.sort(score[code == 1]), np.sort(score[code == 0])
    chosen = positives if len(positives) <= 2 * part else np.concatenate([positives[-part:], _quantiles(positives, part)])
    return np.unique(np.concatenate([chosen, np.nextafter(chosen, -np.inf), _quantiles(other, part)]))


def _quantiles(ordered: Float64, count: int) -> Float64:
    return ordered[np.unique(np.linspace(0, len(ordered) - 1, count).astype(np.int64))] if len(ordered) else ordered


def area(negative: Float64, positive: Float64) -> Float64:
    """The area under the ROC curve: the chance that one of the last class has the higher score, a tie counting one half (Hanley and McNeil,
    1982). NaN without either class.

    Args:
        negative, positive: float64, [..., cells]; how many of each class have each score, highest first.
    """
    up_to = np.cumsum(positive, axis=-1) - positive / 2
    return np.asarray((negative * up_to).sum(axis=-1) / (negative.sum(axis=-1) * positive.sum(axis=-1)))


def gini(negative: Float64, positive: Float64) -> Float64:
    """2 AUC - 1, the accuracy ratio. As `area`."""
    return np.asarray(2.0 * area(negative, positive) - 1.0)


def kolmogorov_smirnov(negative: Float64, positive: Float64) -> Float64:
    """The largest distance between the two classes' distributions of scores. As `area`."""
    caught, wrong = np.cumsum(positive, axis=-1), np.cumsum(negative, axis=-1)
    return np.asarray(np.abs(caught / caught[..., -1:] - wrong / wrong[..., -1:]).max(axis=-1))


def average_precision(negative: Float64, positive: Float64) -> Float64:
    """The mean precision at each of the last class, equal scores taken at once: the area below precision and recall, with no interpolation.
    NaN where the last class never came. As `area`."""
    caught = np.cumsum(positive, axis=-1)
    taken = caught + np.cumsum(negative, axis=-1)
    precision = np.divide(caught, taken, out=np.zeros_like(caught), where=taken > 0)
    return np.asarray((positive * precision).sum(axis=-1) / caught[..., -1])


_RANKED: tuple[tuple[str, Callable[[Float64, Float64], Float64]], ...] = (
    ("auc", area),
    ("gini", gini),
    ("ks", kolmogorov_smirnov),
    ("average_precision", average_precision),
)


def ranking_metrics(score: Float64, code: Int64) -> list[MetricParts]:
    """`auc`, `gini`, `ks` and `average_precision`, over all samples. Of one class alone they have no value.

    Args:
        score: float64, [n], finite.
        code: int64, [n]; 0 or 1.
    """
    ranked = ranking(score, code)
    both = 0 < code.sum() < len(code)
    metrics = []
    for name, metric in _RANKED:
        with np.errstate(all="ignore"):
            exact = float(metric(ranked.above[:, 0], ranked.above[:, 1])[0]) if both else float("nan")
        metrics.append(MetricParts(name, (ranked.cells,), _of_cells(metric), "higher", pooled=True, exact=exact))
    return metrics


def _of_cells(metric: Callable[[Float64, Float64], Float64]) -> Callable[[Float64], Float64]:
    def combine(parts: Float64) -> Float64:
        highest_first = parts[..., ::-1]
        return metric(highest_first[..., 1::2], highest_first[..., 0::2])

    return combine


def taken_at_top(score: Float64, unit: Int64, count: int) -> Float64:
    """float64, [n]: whether a sample is among the `count` highest scores of its unit (a day); of a smaller unit all are.

    Where the last places fall among equal scores, each of those has the same part of them: what a fair lot gives on average, with no lot.

    Args:
        unit: int64, [n], from 0.
    """
    order = np.lexsort((-score, unit))
    ordered_unit, ordered_score = unit[order], score[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = ordered_unit[1:] != ordered_unit[:-1]
    starts = np.flatnonzero(fresh)
    rank = np.arange(len(order)) - starts[np.cumsum(fresh) - 1]
    tie_fresh = fresh.copy()
    tie_fresh[1:] |= ordered_score[1:] != ordered_score[:-1]
    ties = np.flatnonzero(tie_fresh)
    sizes = np.diff(ties, append=len(order))
    share = np.clip((count - rank[ties]) / np.maximum(sizes, 1), 0.0, 1.0)
    taken = np.empty(len(order))
    taken[order] = np.repeat(share, sizes)
    return taken


def top_metrics(score: Float64, code: Int64, time: NDArray[np.datetime64], entity: Int64, counts: tuple[int, ...]) -> list[MetricParts]:
    """By count k, `precision_top_k` and `recall_top_k`: what k checks a day find, of the checks made and of all there was to find.

    Where an entity (a card) has several samples on a day, `entity_precision_top_k` and `entity_recall_top_k` beside them: whoever checks a
    card checks it once. Its score is the day's highest, and it counts as found where the last class came in any of its samples that day.

    Args:
        time: datetime64, [n].
        entity: int64, [n].
    """
    metrics: list[MetricParts] = []
    if not counts:
        return metrics
    day = np.unique(time.astype("datetime64[D]"), return_inverse=True)[1].astype(np.int64)
    for count in counts:
        taken = taken_at_top(score, day, count)
        metrics += _precision_recall("", count, taken, code.astype(np.float64))
    pairs, place = np.unique(np.column_stack([day, entity]), axis=0, return_inverse=True)
    if len(pairs) < len(score):
        place = place.ravel()
        highest, came = np.full(len(pairs), -np.inf), np.zeros(len(pairs))
        np.maximum.at(highest, place, score)
        np.maximum.at(came, place, code.astype(np.float64))
        # one sample a pair stands for it, so that components still have one value a sample
        stands = np.unique(place, return_index=True)[1]
        for count in counts:
            taken, wanted = np.zeros(len(score)), np.zeros(len(score))
            taken[stands], wanted[stands] = taken_at_top(highest, pairs[:, 0].astype(np.int64), count), came
            metrics += _precision_recall("entity_", count, taken, wanted)
    return metrics


def _precision_recall(prefix: str, count: int, taken: Float64, wanted: Float64) -> list[MetricParts]:
    return [
        MetricParts(f"{prefix}precision_top_{count}", (taken * wanted, taken), _ratio, "higher", pooled=True),
        MetricParts(f"{prefix}recall_top_{count}", (taken * wanted, wanted), _ratio, "higher", pooled=True),
    ]


def _ratio(part: Float64, whole: Float64) -> Float64:
    return np.asarray(np.divide(part, whole))
