"""LightGBM's native text, checked before LightGBM reads it: its parser trusts what it is given, and can end the process or never return.

What passes is a header and trees whose every index points into what is there, and whose nodes lead to leaves. A feature has at most one
type of split; linear trees, other objectives and several classes are refused, since no model here writes them.
"""

from __future__ import annotations

import itertools
import math
import re

HEADER = ("version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective", "feature_names", "feature_infos")
FIXED = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1", "label_index": "0", "objective": "binary sigmoid:1"}
END = "end of trees\n"
#: arrays of a tree by length: of inner nodes, and of leaves
NODES = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child")
NODES_KNOWN = ("internal_value", "internal_weight", "internal_count")
LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
WHOLE = ("split_feature", "decision_type", "left_child", "right_child", "leaf_count", "internal_count")
CATEGORIES = ("cat_boundaries", "cat_threshold")
_NUMBER = re.compile(r"-?(\d+(\.\d+)?([eE][-+]?\d+)?|inf|nan)\Z", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,10}\Z", re.ASCII)


def without_tail(text: str) -> str:
    """The text up to the end of the trees: importances and parameters, which follow, say nothing to a model that only answers."""
    return text[: text.index(END) + len(END)] + "\n"


def check_tree_text(text: str, features: int) -> None:
    """See that a text is that of boosted trees of two classes over so many features.

    Raises:
        ValueError: it is not; the message says where.
    """
    head, separator, rest = text.partition("\n\n")
    if not separator or not head.startswith("tree\n"):
        raise ValueError("no text of LightGBM's trees: it begins otherwise, or is cut short")
    header = _lines(head.removeprefix("tree\n"), "the header")
    for name, wanted in {**FIXED, "max_feature_idx": str(features - 1)}.items():
        if header.get(name) != wanted:
            raise ValueError(f"the trees' header says {name}={header.get(name)!r}; expected {wanted!r}")
    unknown = set(header) - {*HEADER, "tree_sizes", "monotone_constraints"}
    if unknown or "tree_sizes" not in header:
        raise ValueError(f"the trees' header has {sorted(unknown)} beside what is known, or no tree_sizes")
    for name in ("feature_names", "feature_infos"):
        if len(header.get(name, "").split(" ")) != features:
            raise ValueError(f"the trees' header has not {features} {name}")
    sizes = _whole(header["tree_sizes"], None, "tree_sizes")
    place, body = 0, rest
    if not body.isascii():
        raise ValueError("the trees hold other characters than ASCII")
    for number, size in enumerate(sizes):
        tree = body[place : place + size] if size > 0 else ""
        begin = f"Tree={number}\n"
        if not tree.startswith(begin) or not tree.endswith("\n\n"):
            raise ValueError(f"tree {number} is not where the header says it is: the text was cut or changed")
        _check_tree(_lines(tree.removeprefix(begin).strip("\n"), f"tree {number}"), features, f"tree {number}")
        place += size
    if body[place:] != f"{END}\n":
        raise ValueError("something else follows the trees than their end: the text was cut or changed")


def _check_tree(tree: dict[str, str], features: int, where: str) -> None:
    allowed = {*NODES, *NODES_KNOWN, *LEAVES, *CATEGORIES, "num_leaves", "num_cat", "is_linear", "shrinkage"}
    if set(tree) - allowed or tree.get("is_linear") != "0":
        raise ValueError(f"{where} has {sorted(set(tree) - allowed)} beside what is known, or is linear")
    leaves, splits = (_whole(tree.get(name, ""), 1, f"{where}, {name}")[0] for name in ("num_leaves", "num_cat"))
    if leaves < 1 or not 0 <= splits < leaves:
        raise ValueError(f"{where} has {leaves} leaves and {splits} splits by category")
    _finite(tree.get("shrinkage", ""), 1, f"{where}, shrinkage")
    lengths = {**dict.fromkeys((*NODES, *NODES_KNOWN), leaves - 1), **dict.fromkeys(LEAVES, leaves)}
    for name, length in lengths.items():
        # a tree of one leaf leaves its other lines empty, or out
        if leaves > 1 or tree.get(name):
            text, place = tree.get(name, ""), f"{where}, {name}"
            # a split that sets missing values apart from all others has an infinite threshold
            _whole(text, length, place) if name in WHOLE else _finite(text, length, place, infinite=name == "threshold")
    if leaves == 1:
        if splits or not tree.get("leaf_value"):
            raise ValueError(f"{where} has one leaf without a value, or with a split")
        return
    split, kind = (_whole(tree[name], leaves - 1, where) for name in ("split_feature", "decision_type"))
    if not all(0 <= feature < features for feature in split) or not all(0 <= one < 16 for one in kind):
        raise ValueError(f"{where} splits by a feature or in a way that there is not")
    _check_children(_whole(tree["left_child"], leaves - 1, where), _whole(tree["right_child"], leaves - 1, where), leaves, where)
    _check_categories(tree, kind, splits, where)


def _check_children(left: list[int], right: list[int], leaves: int, where: str) -> None:
    """Every node but the first, and every leaf (~leaf), has one parent, and nodes come after theirs: all ways end in a leaf."""
    nodes = sorted(child for child in left + right if child >= 0)
    ends = sorted(~child for child in left + right if child < 0)
    forward = all(child < 0 or child > node for side in (left, right) for node, child in enumerate(side))
    if nodes != list(range(1, leaves - 1)) or ends != list(range(leaves)) or not forward:
        raise ValueError(f"{where}: its nodes do not lead from the first to every leaf")


def _check_categories(tree: dict[str, str], kind: list[int], splits: int, where: str) -> None:
    chosen = [float(value) for value, one in zip(tree["threshold"].split(" "), kind, strict=True) if one & 1]
    if len(chosen) != splits or sorted(chosen) != [float(number) for number in range(splits)]:
        raise ValueError(f"{where}: its splits by category are not those that it counts")
    if not splits:
        return
    bounds = _whole(tree.get("cat_boundaries", ""), splits + 1, f"{where}, cat_boundaries")
    if bounds[0] != 0 or any(after <= before for before, after in itertools.pairwise(bounds)):
        raise ValueError(f"{where}: the boundaries of its categories do not rise from 0")
    masks = _whole(tree.get("cat_threshold", ""), bounds[-1], f"{where}, cat_threshold")
    if not all(0 <= mask < 2**32 for mask in masks):
        raise ValueError(f"{where}: a set of categories is not of 32 bits")


def _lines(text: str, where: str) -> dict[str, str]:
    lines: dict[str, str] = {}
    for line in text.split("\n"):
        name, sign, value = line.partition("=")
        if not sign or name in lines:
            raise ValueError(f"{where} has a line without a value, or twice: {line[:60]!r}")
        lines[name] = value
    return lines


def _whole(text: str, length: int | None, where: str) -> list[int]:
    values = text.split(" ")
    if (length is not None and len(values) != length) or not all(_WHOLE.match(value) for value in values):
        raise ValueError(f"{where}: expected {'whole numbers' if length is None else f'{length} whole numbers'}, found {text[:60]!r}")
    numbers = [int(value) for value in values]
    if not all(-(2**31) <= value < 2**32 for value in numbers):
        raise ValueError(f"{where}: a number is beyond 32 bits")
    return numbers


def _finite(text: str, length: int, where: str, infinite: bool = False) -> list[float]:
    values = text.split(" ")
    readable = all(_NUMBER.match(value) and (math.isfinite(float(value)) or (infinite and value in ("inf", "-inf"))) for value in values)
    if len(values) != length or not readable:
        raise ValueError(f"{where}: expected {length} finite numbers, found {text[:60]!r}")
    return [float(value) for value in values]
