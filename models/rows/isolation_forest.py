"""Isolation forest (Liu, Ting and Zhou 2008): how quickly random splits set a row apart from the rest. It is grown without the classes.

The calibration alone learns from them: what is easily set apart is no riskier by itself. Grown by scikit-learn and kept as plain arrays,
since its trees have no safe format (skops trusts them only where it is told to).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from finflow.models.base import FitReport, Hardware, ModelSettings
from finflow.models.errors import FitFailure
from finflow.models.reading import labelled_together
from finflow.models.rows.categories import Vocabulary
from finflow.models.rows.row_numbers import RowNumbers
from finflow.models.rows.tabular import TabularSettings
from finflow.models.rows.tabular_arrays import TabularArrays
from finflow.models.samples import Float32, Float64, Int64, Samples

#: rows that walk down the trees together: what they touch stays near the processor
WALKED = 4096


class IsolationForestSettings(TabularSettings):
    """How many trees, each grown on how many rows."""

    trees: int = Field(default=200, ge=1, le=10_000, description="how many")
    sample: int = Field(default=256, ge=2, le=1_000_000, description="rows that a tree is grown on, at most")


class IsolationForest(TabularArrays):
    """Missing numbers count as the median, with a mark; a category counts by how rare it is."""

    Settings: ClassVar[type[ModelSettings]] = IsolationForestSettings
    family: ClassVar[str] = "isolation forest"
    seeded: ClassVar[bool] = True
    supervised: ClassVar[bool] = False

    def check_task(self) -> None:
        super().check_task()
        if cast(IsolationForestSettings, self.settings).calibration.method == "none":
            raise FitFailure("the score of an isolation forest is no probability: set calibration.method to platt or isotonic")

    def fit_rows(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        from sklearn.ensemble import IsolationForest as Grown

        settings = cast(IsolationForestSettings, self.settings)
        together = labelled_together(train, validation)
        values, codes = self.numbers(together), self.codes(together)
        numbers, vocabulary = RowNumbers.of(values, self.task.features, "standard", 1e6), Vocabulary.of(codes)
        state: dict[str, NDArray] = {**numbers.arrays(), **vocabulary.arrays()}
        for number, (column, size) in enumerate(zip(vocabulary.places(codes).T, vocabulary.sizes, strict=True)):
            rows = np.bincount(column, minlength=size)
            state[f"rarity.{number}"] = np.log((rows + 1) / (len(codes) + size)).astype(np.float32)
        sample = min(settings.sample, len(together))
        grown = Grown(n_estimators=settings.trees, max_samples=sample, random_state=seed % 2**32, n_jobs=1).fit(
            self._inputs(together, state)
        )
        trees = [_walkable(estimator.tree_) for estimator in grown.estimators_]
        starts = np.cumsum([0, *(len(tree["length"]) for tree in trees)])
        for name in ("feature", "threshold", "length"):
            state[name] = np.concatenate([tree[name] for tree in trees])
        state["child"] = np.concatenate([tree["child"] + start for tree, start in zip(trees, starts[:-1], strict=True)]).ravel()
        depth = max(int(tree["depth"].max()) for tree in trees)
        self.state = {**state, "root": starts[:-1], "depth": np.array([depth]), "usual": _usual_length(np.array([sample]))}
        return FitReport(parameters=len(state["length"]), notes={"trees": settings.trees, "rows_a_tree": sample, "samples": len(together)})

    def raw_probability(self, samples: Samples) -> Float64:
        inputs = self._inputs(samples, self.state)
        parts = [self._score(inputs[start : start + WALKED]) for start in range(0, len(inputs), WALKED)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def load_rows(self, folder: Path) -> None:
        """Raises ValueError: the trees are damaged; walking them might never end, or read a neighbour's row."""
        super().load_rows(folder)
        state = self.state
        nodes = len(state["length"])
        width = len(self.task.features) + len(state["numbers.marked"]) + len(self.task.categories)
        inside = (
            (state[name].size and int(state[name].min()) >= 0 and int(state[name].max()) < end)
            for name, end in (("root", nodes), ("child", nodes), ("feature", width))
        )
        whole = len(state["feature"]) == len(state["threshold"]) == nodes and len(state["child"]) == 2 * nodes
        if not (whole and all(inside) and state["depth"].shape == (1,) and 0 <= int(state["depth"][0]) <= nodes):
            raise ValueError("the trees of the isolation forest do not lead from their roots to leaves: the file is damaged")

    def _inputs(self, samples: Samples, state: dict[str, NDArray]) -> Float32:
        """float32, [n, numbers + marks + categories]."""
        numbers, values = RowNumbers.from_arrays(state), self.numbers(samples)
        places = Vocabulary.from_arrays(state).places(self.codes(samples))
        rarity = [state[f"rarity.{number}"][column] for number, column in enumerate(places.T)]
        return np.column_stack([numbers.filled(values), numbers.marks(values), *rarity]).astype(np.float32)

    def _score(self, inputs: Float32) -> Float64:
        """float64, [n]: 2 to the minus mean path length over the usual one, in (0, 1); the sum goes tree by tree."""
        state, flat, width = self.state, inputs.ravel(), inputs.shape[1]
        feature, threshold, child = state["feature"], state["threshold"], state["child"]
        start, total = np.arange(len(inputs)) * width, np.zeros(len(inputs))
        for root in state["root"]:
            node = np.full(len(inputs), root)
            for _ in range(int(state["depth"][0])):
                node = child[2 * node + (flat[start + feature[node]] > threshold[node])]
            total += state["length"][node]
        return 2.0 ** -(total / (len(state["root"]) * state["usual"][0]))


def _walkable(tree: object) -> dict[str, NDArray]:
    """A tree of scikit-learn as arrays by node.

    `child`, [nodes, 2], leads on to the left and to the right, and a leaf to itself; `length` is a leaf's depth and what its rows would
    take further.
    """
    left, right = (np.asarray(getattr(tree, name), dtype=np.int64) for name in ("children_left", "children_right"))
    leaf = left < 0
    itself = np.arange(len(left))
    depth = np.zeros(len(left), dtype=np.int64)
    for node in np.flatnonzero(~leaf):  # children come after their parents
        depth[[left[node], right[node]]] = depth[node] + 1
    further = _usual_length(np.asarray(tree.n_node_samples, dtype=np.int64))  # type: ignore[attr-defined]
    return {
        "feature": np.where(leaf, 0, np.asarray(tree.feature, dtype=np.int64)),  # type: ignore[attr-defined]
        "threshold": np.where(leaf, 0.0, np.asarray(tree.threshold, dtype=np.float64)),  # type: ignore[attr-defined]
        "child": np.column_stack([np.where(leaf, itself, left), np.where(leaf, itself, right)]),
        "length": np.where(leaf, depth + further, 0.0),
        "depth": depth,
    }


def _usual_length(rows: Int64) -> Float64:
    """float64: the mean path length of an unsuccessful search among so many rows (Liu, Ting and Zhou 2008, equation 1)."""
    many = np.maximum(rows, 3).astype(np.float64)
    length = 2 * (np.log(many - 1) + np.euler_gamma) - 2 * (many - 1) / many
    return np.where(rows > 2, length, np.where(rows == 2, 1.0, 0.0))
