"""Losses and metrics of probabilities, as pure functions that any problem of classes may use.

Shapes: probabilities [n, classes], summing to 1, and codes int64, [n]: the position of the class that came. All is computed in float64; a
NaN forecast gives a NaN loss.
"""

from __future__ import annotations

import numpy as np

from finflow.models.base import Prediction
from finflow.models.samples import Int64
from finflow.pipelines.problems.quantile_scores import identity
from finflow.pipelines.statistics.delong import placements
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts

#: a class that came with a smaller probability counts as if it had this one (float32's step at 1, as scikit-learn has it): else the log
#: loss of a forecast that is certain and wrong would be infinite
LEAST = float(np.finfo(np.float32).eps)
#: bins of the calibration error, of equal width
BINS = 10


def probabilities_of(prediction: Prediction) -> Float64:
    """float64, [n, classes].

    Raises:
        ValueError: the prediction holds something else.
    """
    if prediction.kind != "probabilities":
        raise ValueError(f"expected probabilities, got {prediction.kind}: the model answers another question")
    return prediction.values.astype(np.float64)


def log_loss(probabilities: Float64, codes: Int64) -> Float64:
    """float64, [n]: minus the logarithm of the probability that was given to the class that came."""
    return -np.log(np.maximum(probabilities[np.arange(len(codes)), codes], LEAST))


def brier(probabilities: Float64, codes: Int64) -> Float64:
    """float64, [n]: the squared distance to what came, summed over the classes (Brier, 1950): 0 to 2, whatever the number of classes."""
    return ((probabilities - _came(probabilities, codes)) ** 2).sum(axis=1)


def hits(probabilities: Float64, codes: Int64) -> Float64:
    """float64, [n]: 1 where the likeliest class came; where several share the highest probability, a guess among them."""
    best = probabilities == probabilities.max(axis=1, keepdims=True)
    count = best.sum(axis=1)
    share = best[np.arange(len(codes)), codes] / np.maximum(count, 1)
    return np.where(count > 0, share, np.nan)


def auc_parts(probabilities: Float64, codes: Int64) -> MetricParts:
    """The area under the ROC curve: of two classes the chance that the second one's probability is higher where it came than where it did
    not (a tie is one half); of more the mean over the classes, each against the rest.

    It is no function of means, so it is given as its placement values (DeLong, DeLong and Clarke-Pearson, 1988): the value is exact where a
    date has as many samples as another, and resampling sees its first-order change. None where a class never came, or always.
    """
    positions = range(1, 2) if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    components: list[Float64] = []
    areas: list[float] = []
    for position in positions:
        belongs = codes == position
        placed, area = placements(probabilities[:, position], belongs.astype(np.int64))
        components += [
            np.where(belongs, placed, 0.0),
            belongs.astype(np.float64),
            np.where(belongs, 0.0, placed),
            (~belongs).astype(np.float64),
        ]
        areas.append(area)

    def combine(*means: Float64) -> Float64:
        total = np.zeros_like(np.asarray(means[0], dtype=np.float64))
        for number, area in enumerate(areas):
            above, positive, below, negative = means[4 * number : 4 * number + 4]
            total = total + above / positive + below / negative - area
        return total / len(areas)

    return MetricParts("auc", tuple(components), combine, "higher")


def calibration_parts(probabilities: Float64, codes: Int64) -> MetricParts:
    """How far stated probabilities lie from what came, bin by bin: the sum over bins of |mean probability - part that came|, weighted by
    the samples in the bin; averaged over the classes where there are more than two (class-wise calibration error; Kull et al., 2019).

    Nought is right, and it is never negative: even a calibrated forecast has about sqrt(bins / samples) / 2 of it by chance.
    """
    positions = range(1, 2) if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    components = []
    came = _came(probabilities, codes)
    for position in positions:
        place = bins_of(probabilities[:, position])
        missed = probabilities[:, position] - came[:, position]
        components += [np.where(place == number, missed, 0.0) for number in range(BINS)]

    def combine(*means: Float64) -> Float64:
        total = np.zeros_like(np.asarray(means[0], dtype=np.float64))
        for mean in means:
            total = total + np.abs(mean)
        return total / len(positions)

    return MetricParts("calibration_error", tuple(components), combine, "lower")


def bins_of(probability: Float64) -> Int64:
    """int64, [n]: the bin of equal width that each probability is in; 1 is in the last."""
    return np.clip(np.floor(np.nan_to_num(probability) * BINS), 0, BINS - 1).astype(np.int64)


def class_metrics(probabilities: Float64, codes: Int64, classes: tuple[str, ...]) -> list[MetricParts]:
    """Both losses, `accuracy`, `auc`, `calibration_error`; and `excess_up` for each class but the first: mean probability minus the part
    that came, which aims at 0."""
    came = _came(probabilities, codes)
    metrics = [
        MetricParts("log_loss", (log_loss(probabilities, codes),), identity, "lower"),
        MetricParts("brier", (brier(probabilities, codes),), identity, "lower"),
        MetricParts("accuracy", (hits(probabilities, codes),), identity, "higher"),
        auc_parts(probabilities, codes),
        calibration_parts(probabilities, codes),
    ]
    for number, name in enumerate(classes[1:], start=1):
        metrics.append(MetricParts(f"excess_{name}", (probabilities[:, number], came[:, number]), _difference, "target", 0.0))
    return metrics


def _difference(left: Float64, right: Float64) -> Float64:
    return np.asarray(left) - np.asarray(right)


def _came(probabilities: Float64, codes: Int64) -> Float64:
    """float64, [n, classes]: 1 at the class that came."""
    return np.asarray(np.arange(probabilities.shape[1]) == codes[:, None], dtype=np.float64)
