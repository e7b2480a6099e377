"""Categories as codes: a text's code is the same everywhere and for ever, and which codes a model knows is fitted with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finflow.models.samples import Int64

#: the code of a missing category
MISSING = 0
#: positions in a vocabulary that stand for what is missing, and for what the training part did not hold (or hardly)
MISSING_PLACE, UNKNOWN_PLACE, FIRST_PLACE = 0, 1, 2


def category_code(text: str) -> int:
    """A positive 63-bit hash of a text (BLAKE2b). Of a million texts two share one with a chance of one in ten million."""
    code = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") & (2**63 - 1)
    return code or 1


def category_codes(texts: Sequence[str | None]) -> Int64:
    """int64, [n]: the code of every text, 0 for None and for what is not equal to itself (NaN, NA)."""
    by_text: dict[object, int] = {}
    codes = np.empty(len(texts), dtype=np.int64)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            codes[place] = MISSING
            continue
        code = by_text.get(text)
        if code is None:
            code = by_text[text] = category_code(text)
        codes[place] = code
    return codes


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The codes that each categorical feature had in a training part.

    Attributes:
        codes: one int64 array a feature, ascending.
    """

    codes: tuple[Int64, ...]

    @classmethod
    def of(cls, codes: Int64, fewest: int = 1) -> Vocabulary:
        """The codes, [n, features], that at least `fewest` rows hold."""
        frequent = []
        for column in codes.T:
            values, counts = np.unique(column, return_counts=True)
            frequent.append(values[(counts >= fewest) & (values != MISSING)])
        return cls(tuple(frequent))

    @property
    def sizes(self) -> tuple[int, ...]:
        """By feature, how many positions there are, the two special ones among them."""
        return tuple(len(codes) + FIRST_PLACE for codes in self.codes)

    def places(self, codes: Int64) -> Int64:
        """int64, [n, features]: 0 for a missing category, 1 for one that is not known here, else 2 and up."""
        places = np.empty(codes.shape, dtype=np.int64)
        for number, listed in enumerate(self.codes):
            column = codes[:, number]
            if not len(listed):
                places[:, number] = np.where(column == MISSING, MISSING_PLACE, UNKNOWN_PLACE)
                continue
            at = np.minimum(np.searchsorted(listed, column), len(listed) - 1)
            here = np.where(listed[at] == column, at + FIRST_PLACE, UNKNOWN_PLACE)
            places[:, number] = np.where(column == MISSING, MISSING_PLACE, here)
        return places

    def arrays(self) -> dict[str, Int64]:
        """By name, what a model keeps of it."""
        return {f"vocabulary.{number}": codes for number, codes in enumerate(self.codes)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray]) -> Vocabulary:
        """What `arrays` gave."""
        count = sum(name.startswith("vocabulary.") for name in arrays)
        return cls(tuple(np.asarray(arrays[f"vocabulary.{number}"], dtype=np.int64) for number in range(count)))
