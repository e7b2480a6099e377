"""Every sink by its kind: where scores go beside the lake. To add one: a file here, and a line below."""

from __future__ import annotations

from finflow.pipelines.core.settings import Settings
from finflow.pipelines.sinks.parquet import ParquetSink
from finflow.pipelines.sinks.sql import SqlSink

SINKS: dict[str, type[Settings]] = {"parquet": ParquetSink, "sql": SqlSink}


def sink_settings() -> dict[str, type[Settings]]:
    return dict(SINKS)
