"""What a person writes of an SQL database, for sources and sinks alike, and how its errors are told."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from finflow.pipelines.core.redaction import redacted
from finflow.pipelines.core.secrets import refuse_password


def in_a_line(error: BaseException) -> str:
    """The beginning of an error's text, 300 characters at most, on one line and without secrets."""
    return " ".join(redacted(str(error)).split())[:300]


def _without_password(url: str) -> str:
    return refuse_password(url, "url")


def _plain_name(table: str) -> str:
    if not re.fullmatch(r"([A-Za-z_]\w{0,62}\.)?[A-Za-z_]\w{0,62}", table, re.ASCII):
        raise ValueError("table is no plain name: letters, digits and underscores, perhaps behind a schema and a dot")
    return table


DatabaseUrl = Annotated[
    str,
    Field(min_length=1, description="an SQLAlchemy URL; ${NAME} stands for an environment variable, a password only so"),
    AfterValidator(_without_password),
]
TableName = Annotated[str, AfterValidator(_plain_name)]
