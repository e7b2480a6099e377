"""Codes of categories are the same everywhere and for ever; a vocabulary knows what the training part held."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from finflow.models.rows.categories import FIRST_PLACE, MISSING, MISSING_PLACE, UNKNOWN_PLACE, Vocabulary, category_code, category_codes

CODES = st.lists(st.lists(st.integers(0, 6), min_size=2, max_size=2), min_size=1, max_size=40)


def test_codes_are_for_ever() -> None:
    """Saved models hold them: these must never change."""
    assert category_codes(["car", None, "", "車"]).tolist() == [6232043280467115736, MISSING, 3797230976420062948, 3546951556279345891]


def test_another_process_gives_the_same_code() -> None:
    program = "from finflow.models.rows.categories import category_code; print(category_code('car'))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[3]
    )
    assert int(done.stdout) == category_code("car")


@given(st.text())
def test_a_code_is_a_positive_number_of_63_bits(text: str) -> None:
    assert 0 < category_code(text) < 2**63


@given(st.text(), st.text())
def test_different_texts_have_different_codes(one: str, other: str) -> None:
    assert (category_code(one) == category_code(other)) is (one == other)


def test_what_is_no_text_is_missing() -> None:
    assert category_codes([None, float("nan"), "a"]).tolist()[:2] == [MISSING, MISSING]  # type: ignore[list-item]


@given(CODES, CODES, st.integers(1, 4))
def test_places_by_the_definition(train: list[list[int]], asked: list[list[int]], fewest: int) -> None:
    codes, others = np.array(train), np.array(asked)
    vocabulary = Vocabulary.of(codes, fewest)
    places = vocabulary.places(others)
    assert vocabulary.sizes == tuple(len(own) + FIRST_PLACE for own in vocabulary.codes)
    for column in range(2):
        known = sorted({code for code in codes[:, column].tolist() if code and (codes[:, column] == code).sum() >= fewest})
        for code, place in zip(others[:, column].tolist(), places[:, column].tolist(), strict=True):
            expected = MISSING_PLACE if code == MISSING else known.index(code) + FIRST_PLACE if code in known else UNKNOWN_PLACE
            assert place == expected


@given(CODES)
def test_a_vocabulary_comes_back_from_its_arrays(train: list[list[int]]) -> None:
    vocabulary = Vocabulary.of(np.array(train))
    again = Vocabulary.from_arrays({**vocabulary.arrays(), "other": np.zeros(1)})
    assert again.sizes == vocabulary.sizes
    np.testing.assert_array_equal(again.places(np.array(train)), vocabulary.places(np.array(train)))


def test_no_categories_at_all() -> None:
    vocabulary = Vocabulary.of(np.zeros((5, 0), dtype=np.int64))
    assert vocabulary.sizes == ()
    assert vocabulary.places(np.zeros((3, 0), dtype=np.int64)).shape == (3, 0)
    assert Vocabulary.from_arrays(vocabulary.arrays()).codes == ()
