"""LightGBM's text is refused before LightGBM reads it, wherever it was cut or changed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from finflow.models.rows.boosting import Boosting
from finflow.models.rows.tree_text import check_tree_text
from finflow.models.saving import load_model, save_model
from tests.support.models.tabular_cases import as_samples, fitted, rows


@pytest.fixture(scope="module")
def text() -> str:
    model = fitted("boosting", rows(), rounds=6)
    assert isinstance(model, Boosting)
    return model.text


def resized(text: str) -> str:
    """With the sizes of the trees made right, so that a change is not found out by them."""
    head, _, body = text.partition("\n\n")
    trees = [part for part in re.split(r"(?=Tree=\d+\n)", body.removesuffix("end of trees\n\n")) if part]
    sizes = " ".join(str(len(part)) for part in trees)
    return re.sub(r"tree_sizes=.*", f"tree_sizes={sizes}", head) + "\n\n" + "".join(trees) + "end of trees\n\n"


def test_what_lightgbm_writes_passes(text: str) -> None:
    assert resized(text) == text
    assert "num_cat=1" in text or "num_cat=2" in text, "splits by category are among what is checked"
    check_tree_text(text, 6)


def test_a_split_that_sets_missing_values_apart_passes() -> None:
    random = np.random.default_rng(0)
    bad = random.random(2000) < 0.3
    number = np.where(random.random(2000) < np.where(bad, 0.8, 0.2), np.nan, 1.0 + random.integers(0, 3, 2000))
    day = np.full(2000, np.datetime64("2020-01-01", "ns"))
    data = as_samples(number[:, None], np.zeros((2000, 0), dtype=np.int64), bad, day, ("number",), ())
    model = fitted("boosting", data, rounds=6)
    assert isinstance(model, Boosting)
    assert "inf" in model.text
    found = model.predict(data[0]).values[:, 1]
    assert found[np.isnan(number)].mean() > found[~np.isnan(number)].mean() + 0.3


def test_every_cut_is_refused(text: str) -> None:
    for end in np.random.default_rng(0).integers(0, len(text), 300).tolist():
        with pytest.raises(ValueError):
            check_tree_text(text[:end], 6)


CHANGES = {
    "a child beyond the nodes": (r"(left_child=)(-?\d+)", r"\g<1>4000000"),
    "a cycle": (r"(left_child=)(-?\d+)", r"\g<1>0"),
    "a feature that is not there": (r"(split_feature=)(\d+)", r"\g<1>99"),
    "a negative feature": (r"(split_feature=)(\d+)", r"\g<1>-1"),
    "leaves beyond the arrays": (r"num_leaves=\d+", "num_leaves=100000"),
    "no leaves": (r"num_leaves=\d+", "num_leaves=0"),
    "a value that is none": (r"(leaf_value=)(\S+)", r"\g<1>nan"),
    "an infinite value": (r"(leaf_value=)(\S+)", r"\g<1>1e999"),
    "a word": (r"(threshold=)(\S+)", r"\g<1>zero"),
    "categories out of bounds": (r"(cat_boundaries=0 )(\d+)", r"\g<1>500000"),
    "boundaries that fall": (r"(cat_boundaries=)0", r"\g<1>7"),
    "too few sets": (r"cat_threshold=.*", "cat_threshold="),
    "a linear tree": (r"is_linear=0", "is_linear=1"),
    "a line of another kind": (r"shrinkage=", "leaf_const=1\nshrinkage="),
    "a line twice": (r"num_leaves=(\d+)", r"num_leaves=\1\nnum_leaves=\1"),
    "another objective": (r"objective=.*", "objective=custom"),
    "more classes": (r"num_class=1", "num_class=3"),
    "more features": (r"max_feature_idx=\d+", "max_feature_idx=900"),
    "no sizes": (r"tree_sizes=.*\n", ""),
    "a size too large": (r"tree_sizes=\d+", "tree_sizes=99999999"),
    "something behind": (r"end of trees\n\n", "end of trees\n\nparameters:\n"),
    "another beginning": (r"\Atree", "forest"),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_every_change_is_refused(change: str, text: str) -> None:
    pattern, put = CHANGES[change]
    changed, count = re.subn(pattern, put, text, count=1)
    assert count == 1
    if "size" not in change and "behind" not in change and "beginning" not in change:
        changed = resized(changed)
    with pytest.raises(ValueError, match=r"tree|text"):
        check_tree_text(changed, 6)


def test_a_saved_model_with_a_changed_text_is_not_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_model(fitted("boosting", rows(), rounds=6), folder)
    trees = folder / "state" / "trees.txt"
    trees.write_text(resized(re.sub(r"left_child=-?\d+", "left_child=4000000", trees.read_text(), count=1)))
    with pytest.raises(ValueError, match="do not lead"):
        load_model(folder)
    trees.write_bytes(b"tree\n\xff\xfe")
    with pytest.raises(ValueError):
        load_model(folder)
