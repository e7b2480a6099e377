"""Every sink by its kind: where scores go beside the lake. To add one: a file here, and a line below."""

from __future__ import annotations

from pipelines.registered import Settings

SINKS: dict[str, type[Settings]] = {}


def sink_settings() -> dict[str, type[Settings]]:
    return dict(SINKS)
