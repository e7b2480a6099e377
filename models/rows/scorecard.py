"""A scorecard: logistic regression on the weights of evidence of monotone bins (Siddiqi 2006), with a table of points.

A missing value has a bin of its own, and so have all rare and unknown categories. Points stand for the log odds before calibration: a row's
score is base_score + double / ln 2 * ln(odds of the first class / base_odds), and the sum of its bins' points.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from finflow.models.base import Contributions, FitReport, Hardware, ModelSettings
from finflow.models.class_codes import class_codes
from finflow.models.classes.logistic_regression import choose_strength, solve_rising
from finflow.models.reading import labelled_together
from finflow.models.rows.binning import Evidence, Least, counted, fine_edges, information_value, monotone, places, rising
from finflow.models.rows.calibration import logistic_curve
from finflow.models.rows.categories import FIRST_PLACE, Vocabulary
from finflow.models.rows.scorecard_points import PointsSettings, points_table
from finflow.models.rows.tabular import TabularSettings
from finflow.models.rows.tabular_arrays import TabularArrays, sum_of_parts
from finflow.models.samples import Float32, Float64, Int64, Samples
from finflow.models.saving import write_json

POINTS = "points.json"
#: inverse penalties that are tried
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
#: of so many features, the most telling, a fit's notes give the information value; the table of points has all that count
NOTED = 50


class ScorecardSettings(TabularSettings):
    """How features are binned and weighed, and the scale of the points."""

    bins: int = Field(
        default=20, ge=2, le=1000, description="bins of equal numbers of rows that a number begins with, before they are merged"
    )
    least_share: float = Field(default=0.05, gt=0, lt=1, description="part of the training rows in a bin, at least")
    least_events: int = Field(default=5, ge=1, le=1_000_000, description="training rows of each class in a bin, at least")
    smoothing: float = Field(
        default=1.0, gt=0, le=1e6, description="rows of the rarer class, with the others at the base rate, added to a bin"
    )
    least_information: float = Field(default=0.02, ge=0, le=100, description="features with less information value are left out")
    fewest: int = Field(default=20, ge=1, le=1_000_000, description="categories of fewer training rows are one")
    c: float | None = Field(
        default=None, gt=0, le=1e6, description="inverse penalty (scikit-learn's C); none: chosen on the validation part"
    )
    iterations: int = Field(default=500, ge=1, le=100_000, description="of L-BFGS, at most")
    points: PointsSettings = Field(default=PointsSettings(), description="how log odds become points")


class Scorecard(TabularArrays):
    """Weights are never negative: a feature whose own evidence the others turn round is left out. Fitted on training and choosing part."""

    Settings: ClassVar[type[ModelSettings]] = ScorecardSettings
    family: ClassVar[str] = "scorecard"

    def fit_rows(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        settings = cast(ScorecardSettings, self.settings)
        strength, classes = settings.c, self.task.classes
        if strength is None:
            bins = self._bins(train)
            parts = [(self._evidence(part, bins), class_codes(part, self.task)) for part in (train, validation)]
            strength = choose_strength(parts[0], parts[1], classes, STRENGTHS, settings.iterations, solve_rising)
        together = labelled_together(train, validation)
        bins = self._bins(together)
        inputs = self._evidence(together, bins)
        solution = solve_rising(inputs, class_codes(together, self.task), classes, strength, settings.iterations)
        self.state = {**bins, "weight": solution["coefficients"][1], "centre": inputs.mean(axis=0), "intercept": solution["intercept"][1:]}
        value, used = bins["information"], np.flatnonzero(self.state["weight"] > 0)
        names = (*self.task.features, *self.task.categories)
        order = np.argsort(-value, kind="stable")[:NOTED]
        notes = {
            "c": strength,
            "samples": len(together),
            "features": len(used),
            "information_value": {names[place]: float(f"{value[place]:.4g}") for place in order},
            "left_out": [names[place] for place in order if self.state["weight"][place] == 0],
        }
        return FitReport(parameters=len(used) + 1, notes=notes)

    def raw_probability(self, samples: Samples) -> Float64:
        return logistic_curve(self._parts(samples).sum(axis=1) + self._base())

    def contributions(self, samples: Samples) -> Contributions:
        """Exact, of the log odds before calibration: a feature's weight times its evidence, less what that is on average in training."""
        return sum_of_parts(self._parts(samples), self._base())

    def points(self, samples: Samples) -> Float64:
        """float64, [n]: the score of every sample, before any rounding; higher is nearer to the first class."""
        return cast(ScorecardSettings, self.settings).points.of_log_odds(self._parts(samples).sum(axis=1) + self._base())

    def save_rows(self, folder: Path) -> None:
        super().save_rows(folder)
        write_json(folder / POINTS, points_table(self.state, self.task, cast(ScorecardSettings, self.settings).points))

    def _base(self) -> float:
        return float(self.state["intercept"][0] + self.state["weight"] @ self.state["centre"])

    def _bins(self, samples: Samples) -> dict[str, NDArray]:
        """Of all features, one behind the other: `edges` of the numbers; `group`, the bin of each place of a vocabulary; `woe`, `rows` and
        `events` of every bin; where each feature's begin (`first_...`); and its `information` (0: left out)."""
        settings = cast(ScorecardSettings, self.settings)
        events = class_codes(samples, self.task)
        evidence = Evidence.of(events, settings.smoothing)
        least = Least(settings.least_share * len(events), settings.least_events)
        values, codes = self.numbers(samples), self.codes(samples)
        vocabulary = Vocabulary.of(codes, settings.fewest)
        edges, groups, by_column = [], [], []
        for column in values.T:
            cuts, counts = _binned(column.astype(np.float64), events, settings.bins, least, evidence)
            edges.append(cuts)
            by_column.append(counts)
        for column, size in zip(vocabulary.places(codes).T, vocabulary.sizes, strict=True):
            group, counts = _grouped(column, size, events, least, evidence)
            groups.append(group)
            by_column.append(counts)
        woe = [evidence.weight(*counts) for counts in by_column]
        information = np.array([information_value(*counts, weights) for counts, weights in zip(by_column, woe, strict=True)])
        return {
            "edges": _joined(edges),
            "first_edge": _first(edges),
            "group": _joined(groups).astype(np.int64),
            "first_group": _first(groups),
            "woe": _joined(woe),
            "events": _joined([counts[0] for counts in by_column]),
            "rows": _joined([counts[1] for counts in by_column]),
            "first_bin": _first(woe),
            "information": information,
            "used": np.flatnonzero(information >= max(settings.least_information, 1e-12)),
            **vocabulary.arrays(),
        }

    def _evidence(self, samples: Samples, state: dict[str, NDArray], chosen: Int64 | None = None) -> Float64:
        """float64, [n, features + categories]: the weight of evidence of each row's bin; 0 of features that are left out."""
        values: Float32 = self.numbers(samples)
        coded = Vocabulary.from_arrays(state).places(self.codes(samples))
        evidence = np.zeros((len(samples), len(state["information"])))
        count = values.shape[1]
        for place in state["used"] if chosen is None else chosen:
            weights = state["woe"][state["first_bin"][place] : state["first_bin"][place + 1]]
            if place < count:
                bins = places(values[:, place], state["edges"][state["first_edge"][place] : state["first_edge"][place + 1]])
            else:
                start, stop = state["first_group"][place - count : place - count + 2]
                bins = state["group"][start:stop][coded[:, place - count]]
            evidence[:, place] = weights[bins]
        return evidence

    def _parts(self, samples: Samples) -> Float64:
        weight = self.state["weight"]
        chosen = np.flatnonzero(weight > 0)
        return np.where(weight > 0, self._evidence(samples, self.state, chosen) - self.state["centre"], 0.0) * weight


def _binned(column: Float64, events: Int64, bins: int, least: Least, evidence: Evidence) -> tuple[Float64, tuple[Float64, Float64]]:
    """Edges of a number's bins, and events and rows of each; those of missing values come last."""
    fine = fine_edges(column, bins)
    place = places(column, fine)
    size = len(fine) + 2
    came, rows = counted(place, events.astype(np.float64), size), counted(place, np.ones(len(place)), size)
    group = monotone(came[:-1], rows[:-1], least, evidence)
    edges = fine[np.diff(group) > 0]
    return edges, (np.append(counted(group, came[:-1]), came[-1]), np.append(counted(group, rows[:-1]), rows[-1]))


def _grouped(column: Int64, size: int, events: Int64, least: Least, evidence: Evidence) -> tuple[Int64, tuple[Float64, Float64]]:
    """The bin of each place of a vocabulary, and events and rows of each bin: missing, rare and unknown, then by rate."""
    came, rows = counted(column, events.astype(np.float64), size), counted(column, np.ones(len(column)), size)
    group = np.arange(size, dtype=np.int64)
    if size > FIRST_PLACE:
        rate = [evidence.rate(*each) for each in zip(came[FIRST_PLACE:], rows[FIRST_PLACE:], strict=True)]
        order = FIRST_PLACE + np.argsort(rate, kind="stable")
        group[order] = FIRST_PLACE + rising(came[order], rows[order], least, evidence.rate)
    return group, (counted(group, came), counted(group, rows))


def _joined(arrays: list[NDArray]) -> NDArray:
    return np.concatenate(arrays) if arrays else np.zeros(0)


def _first(arrays: list[NDArray]) -> Int64:
    return np.cumsum([0, *(len(array) for array in arrays)], dtype=np.int64)
