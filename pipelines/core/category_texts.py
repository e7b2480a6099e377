"""A column's values as the texts that categories, classes and groups are told apart by."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def distinct_texts(column: pd.Series) -> tuple[NDArray[np.int64], list[str]]:
    """A column's values as texts: the place of each row's among the distinct ones (int64, [rows]; -1: missing), and these.

    Whole numbers have no decimal point, so that 2 and 2.0 are one text, and True is 1. It is the value that says so, never the column's
    dtype: that changes with a missing value, and between the table a model was trained on and the frame it is asked with. So a decimal
    that was a float32 once is the short one that it stands for, 0.1 and not 0.10000000149011612.

    Raises:
        ValueError: the column is of float32 (or 16), and holds a number of more digits than these keep: nobody can say which it was.
    """
    place, values = pd.factorize(column)
    narrow = _is_narrow(column)
    return place, [_text(np.float32(value) if narrow else value) for value in values]


def _text(value: object) -> str:
    if not isinstance(value, (bool, int, float, np.bool_, np.number)):
        return str(value)
    number, narrow = float(value), isinstance(value, (np.float32, np.float16))
    whole = number.is_integer()
    short = None if whole else _short_decimal(number)
    if narrow and (abs(number) >= 2**24 if whole else short is None):
        raise ValueError("holds a float32 of more than its six digits: give such categories as text, whole numbers or float64")
    return str(int(number)) if whole else repr(number if short is None else short)


def _short_decimal(number: float) -> float | None:
    """The decimal of up to six digits, as many as a float32 always keeps, of which this is the float32; None: there is none."""
    short = float(f"{number:.6g}")
    with np.errstate(over="ignore", under="ignore"):
        return short if float(np.float32(short)) == number else None


def _is_narrow(column: pd.Series) -> bool:
    """Whether a column is of float32 or float16, whose values pandas hands out as Python's own."""
    dtype = getattr(column.dtype, "categories", column).dtype
    return getattr(dtype, "numpy_dtype", dtype) in (np.dtype(np.float32), np.dtype(np.float16))


def texts_of(column: pd.Series) -> list[str | None]:
    """A column's values as texts (see `distinct_texts`), None where missing."""
    place, names = distinct_texts(column)
    return [names[at] if at >= 0 else None for at in place]
