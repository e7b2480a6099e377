"""Digests: the same content gives the same 32 hexadecimal digits (BLAKE2b), on every machine and run.

Elsewhere only what is no digest of content has a hash of its own: keyed pseudonyms, the code of a category (which saved models hold), and
the seeds of drawn paths; models/ imports nothing from here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def digest_json(value: Any) -> str:
    """Of JSON-able values; mappings without regard to order.

    Raises:
        TypeError: something in it is no JSON value.
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return hashed(text).hex()


def hashed(text: str, size: int = 16) -> bytes:
    """So many bytes that stand for a text."""
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


class ArrayDigest:
    """A digest of named arrays, one after the other: names, dtypes, shapes and bytes. Object arrays are taken as text.

    Floats count by their bits, except that every NaN is the same.
    """

    def __init__(self, head: str = "") -> None:
        self._total = hashlib.blake2b(head.encode(), digest_size=16)

    def add(self, name: str, array: NDArray[Any]) -> None:
        if array.dtype == object:
            parts = [("\0" if item is None else str(item)).encode() for item in array.ravel()]
            content = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
        else:
            if array.dtype.kind == "f":
                array = np.where(np.isnan(array), np.array(np.nan, dtype=array.dtype), array)
            content = np.ascontiguousarray(array).tobytes()
        self._total.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        self._total.update(content)

    def __str__(self) -> str:
        return self._total.hexdigest()


def digest_arrays(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Of named arrays, without regard to their order; see `ArrayDigest`."""
    total = ArrayDigest()
    for name in sorted(arrays):
        total.add(name, np.asarray(arrays[name]))
    return str(total)


def digest_file(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def digest_frame(frame: pd.DataFrame) -> str:
    """Of a frame's columns (in any order) and its rows (in their order): the same content gives the same digest on every machine.

    Times count by their instant whatever their unit; every missing text is the same, and every NaN.
    """
    arrays = {}
    for name in frame.columns:
        column = frame[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            arrays[f"{name}|utc"] = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
        elif column.dtype.kind == "M":
            arrays[f"{name}|time"] = column.to_numpy().astype("datetime64[us]").astype(np.int64)
        elif column.dtype.kind in "biuf":
            arrays[str(name)] = column.to_numpy()
        else:
            codes, texts = pd.factorize(column, sort=True)
            arrays[f"{name}|codes"] = codes.astype(np.int64)
            arrays[f"{name}|texts"] = np.array([str(text) for text in texts], dtype=object)
    return digest_arrays({**arrays, "__rows": np.array([len(frame)], dtype=np.int64)})
