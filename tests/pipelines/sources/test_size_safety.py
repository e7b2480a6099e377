"""Files that are small on disk and large in memory are refused before they fill it; large data that are data pass."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.sources import CsvSource, ParquetSource

BOMB_ROWS = 20_000_000


def grown(before: int) -> int:
    """Bytes that Arrow holds, at their highest, beyond those before."""
    return int(pa.default_memory_pool().max_memory() or 0) - before


def test_a_small_file_that_fills_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    times = pa.array(np.zeros(BOMB_ROWS, dtype="int64")).cast(pa.timestamp("us"))
    parquet.write_table(pa.table({"date": times, "close": np.zeros(BOMB_ROWS)}), path, compression="zstd")
    del times
    before = pa.default_memory_pool().max_memory() or 0
    with pytest.raises(
        SourceError, match=r"holds 20,000,000 rows of 2 columns, 40,000,000 cells in .* raise `maximum_cells_per_byte`"
    ) as told:
        ParquetSource(path=str(path)).read()
    assert str(path) in str(told.value)
    with pytest.raises(SourceError, match=r"40,000,000 cells; at most 39,999,999 are read.*`maximum_cells`"):
        ParquetSource(path=str(path), maximum_cells=39_999_999, maximum_cells_per_byte=10_000).read()
    assert grown(before) < 10_000_000


def test_a_footer_that_belittles_its_rows_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "liar.parquet"
    parquet.write_table(pa.table({"date": np.zeros(BOMB_ROWS, dtype="int64")}), path, compression="zstd", row_group_size=BOMB_ROWS)
    content = path.read_bytes()
    assert len(content) < 100_000
    footer = content[-8 - int.from_bytes(content[-8:-4], "little") : -8]
    truth, lie = varint(BOMB_ROWS), varint(1_100_000)
    places = [place for place in range(len(footer)) if footer.startswith(truth, place)]
    assert len(places) >= 3
    before = pa.default_memory_pool().max_memory() or 0
    for place in places:
        changed = footer[:place] + lie + footer[place + len(truth) :]
        path.write_bytes(content[: -8 - len(footer)] + changed + content[-8:])
        with pytest.raises(SourceError, match=r"20,000,000 cells in [\d,]+ bytes: .*`maximum_cells_per_byte`"):
            ParquetSource(path=str(path)).read()
    assert grown(before) < 10_000_000


def varint(number: int) -> bytes:
    """As Thrift's compact protocol writes an integer."""
    number, out = number * 2, b""
    while True:
        number, low = number >> 7, number & 0x7F
        out += bytes([low | (0x80 if number else 0)])
        if not number:
            return out


@pytest.mark.parametrize("dictionary", [True, False])
def test_one_long_text_in_many_rows_is_refused_before_it_is_written_out(dictionary: bool, tmp_path: Path) -> None:
    path, text = tmp_path / "long.parquet", "x" * 1_000_000
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(400, dtype="int32")), pa.array([text]))
    table = pa.table({"date": pd.date_range("2018-01-01", periods=400), "close": np.ones(400), "note": column.cast(pa.string())})
    parquet.write_table(table, path, compression="zstd", use_dictionary=dictionary)
    del column, table
    assert path.stat().st_size < 100_000
    settings = {"columns": {"note": "note"}, "text": ("note",)}
    pool = pa.default_memory_pool()
    held = pool.bytes_allocated()
    with pytest.raises(SourceError, match=r"400 rows of 3 columns with 400,000,000 bytes of text, 50,001,200 cells in"):
        ParquetSource(path=str(path), **settings).read()
    assert pool.bytes_allocated() - held < 10_000_000
    with pytest.raises(SourceError, match="50,001,200 cells; at most 50,000,000 are read"):
        ParquetSource(path=str(path), maximum_cells=50_000_000, maximum_cells_per_byte=10**6, **settings).read()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[0.0] * 1_000_000] * 3),
        pa.array([{"a": 1.0}] * 3),
        pa.array([b"x" * 100] * 3, pa.binary(100)),
        pa.array([b"x"] * 3),
        pa.array([[("a", 1.0)]] * 3, pa.map_(pa.string(), pa.float64())),
    ],
    ids=["list", "structure", "fixed binary", "binary", "map"],
)
def test_nested_and_binary_columns_are_refused_by_their_type(column: pa.Array, tmp_path: Path) -> None:
    path = tmp_path / "nested.parquet"
    parquet.write_table(pa.table({"date": pd.date_range("2018-01-01", periods=3), "close": column}), path)
    with pytest.raises(SourceError, match=r"column 'close': holds .*, expected numbers"):
        ParquetSource(path=str(path)).read()


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
def test_archives_that_unpack_without_end_are_refused(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finflow.pipelines.sources.listing.ALWAYS_BYTES", 1 << 20)
    content = b"date,close\n" + b"2018-01-02,0\n" * 1_000_000
    packed = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zip": zipped}[suffix](content)
    path = tmp_path / f"acme.csv{suffix}"
    path.write_bytes(packed)
    assert len(packed) * 200 < len(content)
    with pytest.raises(SourceError, match=rf"more than [\d,]+ bytes unpacked, though it is {len(packed):,} bytes packed"):
        CsvSource(path=str(path)).read()


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("acme.csv", content)
    return packed.getvalue()


def test_a_text_file_of_empty_cells_is_refused_before_the_cells_are_made(tmp_path: Path) -> None:
    path = tmp_path / "acme.csv"
    path.write_text("date,close" + ",a" * 50 + "\n" + ("," * 51 + "\n") * 200)
    with pytest.raises(SourceError, match=r"10,401? cells|cells; at most 1,000 are read"):
        CsvSource(path=str(path), ignore=("*",), maximum_cells=1_000).read()


def test_a_million_rows_of_prices_pass(tmp_path: Path) -> None:
    rows = 1_000_000
    draws = np.random.default_rng(0).normal(size=rows)
    frame = pd.DataFrame(
        {
            "date": np.tile(pd.date_range("2010-01-01", periods=2_000), 500),
            "entity": np.repeat([f"E{number}" for number in range(500)], 2_000),
            **dict.fromkeys(("open", "high", "low", "close"), 100 + draws),
            "volume": np.zeros(rows),
        }
    )
    frame.to_parquet(tmp_path / "market.parquet", index=False)
    found = ParquetSource(path=str(tmp_path / "market.parquet")).read()
    assert found.shape == (rows, 7)
    assert found["close"].equals(frame["close"])
    assert found["entity"].iloc[[0, -1]].tolist() == ["E0", "E499"]
