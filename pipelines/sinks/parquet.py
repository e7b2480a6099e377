"""Scores as Parquet files in a folder or at a URL: one file for what one scoring wrote of a date and a version."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, field_validator

from finflow.pipelines.core.digest import digest_frame
from finflow.pipelines.core.errors import SinkError
from finflow.pipelines.core.secrets import refuse_password
from finflow.pipelines.core.whole_files import whole_file
from finflow.pipelines.sinks.base import SinkSettings

if TYPE_CHECKING:
    import pandas as pd


class ParquetSink(SinkSettings):
    """A folder, or a URL that fsspec knows (s3://bucket/scores; credentials come from the environment).

    A file is named by the digest of its rows and appears whole, by one rename (an object store shows an object whole or not at all). So
    the same rows are there once, whoever writes them and how often; what begins with a dot is a write that was cut short.
    """

    kind: Literal["parquet"] = "parquet"
    path: str = Field(min_length=1, description="a folder, or a URL that fsspec knows; made where it is not there")

    @field_validator("path")
    @classmethod
    def _path(cls, value: str) -> str:
        if any(ord(character) < 32 for character in value):
            raise ValueError("path holds a control character")
        return refuse_password(value, "path")

    def resolved(self, folder: Path) -> Self:
        if "://" in self.path:
            return self
        return self.model_copy(update={"path": str(folder / Path(self.path).expanduser())})

    def write(self, rows: pd.DataFrame) -> int:
        """See `SinkSettings.write`."""
        written = 0
        for (definition, time, version), part in rows.groupby(["definition", "time", "version"], sort=True):
            for _, group in part.groupby(["scored_at", part["backfill_id"].fillna("")], sort=True):
                ordered = group.sort_values(["entity", "horizon", "input_digest"], kind="stable", ignore_index=True)
                name = f"{definition}-{time:%Y-%m-%d}-v{version}-{digest_frame(ordered)}.parquet"
                written += self._put(name, ordered)
        return written

    def _put(self, name: str, rows: pd.DataFrame) -> int:
        try:
            there = self._put_remote(name, rows) if "://" in self.path else _put_local(Path(self.path) / name, rows)
        except (OSError, ImportError, ValueError) as error:
            raise SinkError(f"sink {self.path}: {name} cannot be written ({' '.join(str(error).split())}).") from None
        return 0 if there else len(rows)

    def _put_remote(self, name: str, rows: pd.DataFrame) -> bool:
        """Whether the object was there already."""
        import fsspec

        files, root = fsspec.core.url_to_fs(self.path)
        if "file" in files.protocol:
            return _put_local(Path(root) / name, rows)
        target = f"{root.rstrip('/')}/{name}"
        if files.exists(target):
            return True
        files.makedirs(root, exist_ok=True)
        files.pipe_file(target, _bytes(rows))
        return False


def _put_local(target: Path, rows: pd.DataFrame) -> bool:
    """Whether the file was there already."""
    if target.exists():
        return True
    with whole_file(target) as part, part.open("wb") as stream:
        stream.write(_bytes(rows))
        stream.flush()
        os.fsync(stream.fileno())
    return False


def _bytes(rows: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    rows.to_parquet(stream, index=False)
    return stream.getvalue()
