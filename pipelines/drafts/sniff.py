"""Guessing how a person's file is written: encoding, delimiter, header, decimal mark, dates."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.sources.listing import DataFile
from finflow.pipelines.sources.times import PATTERN

SAMPLE_LINES = 400
DELIMITERS = (",", ";", "\t", "|")
HEADERS = {
    "time": ("time", "date", "datetime", "timestamp", "day", "tradedate", "tradingdate", "日期", "交易日期", "交易日", "时间", "日期时间"),
    "entity": (
        "entity",
        "symbol",
        "ticker",
        "code",
        "stockcode",
        "tscode",
        "instrument",
        "isin",
        "country",
        "currency",
        "代码",
        "股票代码",
        "证券代码",
    ),
    "open": ("open", "openprice", "开盘", "开盘价", "今开"),
    "high": ("high", "highprice", "最高", "最高价"),
    "low": ("low", "lowprice", "最低", "最低价"),
    "close": ("close", "closeprice", "closelast", "last", "price", "settle", "value", "exchangerate", "rate", "收盘", "收盘价", "adjclose"),
    "volume": ("volume", "vol", "成交量", "成交量手", "成交量股"),
}
FORMATS = (
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%b %d %Y",
    "%d-%b-%y",
)


def sniff_csv(path: Path) -> dict[str, Any]:
    """The settings of a csv source that reads this file, without `kind` and `path`.

    Raises:
        SourceError: empty, no text, no header, no column of dates or prices, or dates that may be read in two ways.
    """
    content = DataFile(str(path), path.stem, local_files(), str(path)).unpacked()
    encoding = encoding_of(content, path)
    lines = [line for line in io.StringIO(content.decode(encoding), newline="") if line.strip()][:SAMPLE_LINES]
    if len(lines) < 2:
        raise SourceError(f"{path}: is empty, or a header alone; expected a header line and rows.")
    comments = next((number for number, line in enumerate(lines) if not line.startswith("#")), 0)
    delimiter = delimiter_of(lines[comments:])
    records = [record for record in csv.reader(lines[comments:], delimiter=delimiter) if record]
    headers = [header.strip().removeprefix("\ufeff") for header in records[0]]
    columns = name_columns(headers, path)
    rows = [record for record in records[1:] if len(record) == len(headers)]
    cells = {header: [row[place].strip() for row in rows] for place, header in enumerate(headers)}
    settings: dict[str, Any] = {"columns": columns}
    settings |= {"encoding": encoding} if encoding not in ("utf-8", "utf-8-sig") else {}
    settings |= {"delimiter": delimiter} if delimiter != "," else {}
    settings |= {"skip_rows": comments} if comments else {}
    settings |= number_marks([cells[header] for name, header in columns.items() if name not in ("time", "entity")])
    date_format = date_format_of(cells[columns["time"]], path, columns["time"])
    settings |= {"date_format": date_format} if date_format else {}
    return settings | ignored(headers, columns)


def name_columns(headers: Sequence[str], path: Path) -> dict[str, str]:
    """finflow's name -> header, by what such columns are commonly called in English and Chinese.

    Raises:
        SourceError: no column of dates, or none of prices.
    """
    plain = {header: re.sub(r"[\W_]", "", header.casefold()) for header in headers}
    columns: dict[str, str] = {}
    for name, synonyms in HEADERS.items():
        # The order of `synonyms` decides between candidates: an adjusted close only where there is no other.
        matching = [header for word in synonyms for header in headers if plain[header] == word and header not in columns.values()]
        if matching:
            columns[name] = matching[0]
    for name, what in (("time", "dates"), ("close", "closing prices")):
        if name not in columns:
            shown = ", ".join(map(repr, headers[:20]))
            raise SourceError(
                f"{path}: no column looks like {what} by its header; there are {shown}. Write the definition by hand, with `columns` (or "
                "`wide`, where each column is an entity); for a table of rows with an outcome, say which column it is: --outcome COLUMN."
            )
    return columns


def ignored(headers: Sequence[str], columns: dict[str, str]) -> dict[str, Any]:
    """The setting that leaves out every header that is not mapped."""
    rest = [header for header in headers if header and header not in columns.values()]
    return {"ignore": rest} if rest else {}


def local_files() -> Any:
    """The local file system, as fsspec has it."""
    import fsspec

    return fsspec.filesystem("file")


def encoding_of(content: bytes, path: Path, words: Sequence[str] = ()) -> str:
    """As Python names it. `words`: what the header is known to hold, beside the words of market files.

    Raises:
        SourceError: empty, or no text.
    """
    if not content.strip():
        raise SourceError(f"{path}: is empty; expected a header line and rows.")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    for encoding in ("utf-8-sig", "gb18030", "cp1252", "latin-1"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        # Nearly any bytes are some Chinese text: it counts as such only where its header holds a word that market files use.
        if encoding != "gb18030" or any(
            word in text.partition("\n")[0] for synonyms in (*HEADERS.values(), words) for word in synonyms if not word.isascii()
        ):
            if "\0" in text:
                break
            return "utf-8" if encoding == "utf-8-sig" else encoding
    raise SourceError(f"{path}: is no text file that can be told; give CSV or Parquet.")


def delimiter_of(lines: Sequence[str], delimiters: Sequence[str] = DELIMITERS) -> str:
    """The one of `delimiters` that cuts the lines into as many cells each; a comma where none does."""

    def score(delimiter: str) -> tuple[bool, int]:
        try:
            widths = [len(record) for record in csv.reader(lines, delimiter=delimiter) if record]
        except csv.Error:  # a header of ten thousand columns that this one does not cut is longer than a cell may be
            return (False, 0)
        return (len(set(widths)) == 1, widths[0])

    usable = [delimiter for delimiter in delimiters if score(delimiter)[1] > 1]
    return max(usable, key=score, default=",")


def number_marks(columns: Sequence[Sequence[str]]) -> dict[str, str]:
    """Decimal mark and character between thousands, where they are not a dot and nothing."""
    cells = [cell for column in columns for cell in column if re.search(r"\d", cell)]
    if any(re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+\.\d+", cell) for cell in cells):
        return {"thousands": ","}
    if any(re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+,\d+", cell) for cell in cells):
        return {"decimal": ",", "thousands": "."}
    commas = [cell for cell in cells if "," in cell]
    if commas and all(re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", cell) for cell in commas):
        return {"thousands": ","}
    return {"decimal": ","} if commas else {}


def date_format_of(cells: Sequence[str], path: Path, header: str) -> str | None:
    """None where finflow reads the dates by itself.

    Raises:
        SourceError: a cell is no date, or may be one in two forms.
    """

    texts = [cell for cell in cells if cell]
    if all(PATTERN.fullmatch(text) for text in texts):
        return None
    unique = pd.Series(sorted(set(texts)), dtype="str")
    fitting = [form for form in FORMATS if pd.to_datetime(unique, format=form, errors="coerce").notna().all()]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise SourceError(
            f"{path}, column {header!r}: {texts[0]!r} is no date in a form that is known; write the definition by hand, with `date_format`."
        )
    raise SourceError(
        f"{path}, column {header!r}: dates such as {texts[0]!r} may be {' or '.join(fitting)}; write the definition by hand, with "
        "`date_format`."
    )
