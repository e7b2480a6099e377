"""Personal columns: keyed pseudonyms in their place before anything is written, and a record of which key made them.

A pseudonym is HMAC-SHA256 (Krawczyk, Bellare and Canetti 1997, RFC 2104) of the value's text, cut to 128 bits. Its key is derived from the
environment's and the definition's name, so that two definitions' pseudonyms cannot be joined without the environment's key, while in one
definition a value has one pseudonym in every column and every run. Without the key nobody can try out values: destroying it makes the
pseudonyms unlinkable for good.
"""

from __future__ import annotations

import datetime
import hmac
import os
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from finflow.pipelines.core.calendars import time_zone
from finflow.pipelines.core.errors import ConflictError, FinflowError, SourceError, StateError
from finflow.pipelines.core.redaction import cells_hidden, remember
from finflow.pipelines.definitions.context import Context

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition

VARIABLE = "FINFLOW_PSEUDONYM_KEY"
SHORTEST = 32  # characters: 128 bits where they are hexadecimal digits
FEWEST = 8  # different characters
PREFIX = "p"  # a pseudonym of digits alone, or with one e, would be a number to a spreadsheet
DIGITS = 32


@dataclass(frozen=True)
class Pseudonyms:
    """The pseudonyms of one definition.

    Attributes:
        key_id: tells keys apart and says nothing about them.
    """

    key: bytes = field(repr=False)
    key_id: str

    @classmethod
    def from_environment(cls, name: str) -> Pseudonyms:
        """Those of the definition called `name`, by the key in FINFLOW_PSEUDONYM_KEY.

        Raises:
            FinflowError: there is no key, or one that could be guessed.
        """
        secret = os.environ.get(VARIABLE, "")
        make = f"make one with `openssl rand -hex 32`, keep it where secrets are kept, and export {VARIABLE}=..."
        if not secret:
            raise FinflowError(f"{name} has personal columns, and the environment variable {VARIABLE} is not set: {make}")
        if len(secret) < SHORTEST or len(set(secret)) < FEWEST:
            raise FinflowError(
                f"the environment variable {VARIABLE} is too short a key: at least {SHORTEST} characters, {FEWEST} of them different, are "
                f"needed; {make}"
            )
        remember(VARIABLE, secret)
        key = hmac.digest(secret.encode(), f"finflow pseudonyms 1\0{name}".encode(), "sha256")
        return cls(key, hmac.digest(key, b"key id", "sha256").hex()[:16])

    def of(self, values: pd.Series) -> pd.Series:
        """The pseudonyms of texts (str; by their NFC form), missing where they are."""
        place, texts = pd.factorize(values)
        made = [self._one(str(text)) for text in texts]
        return pd.Series(pd.array([*made, None], dtype="str").take(place), index=values.index)  # place -1 is the last

    def _one(self, text: str) -> str:
        digest = hmac.digest(self.key, unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass"), "sha256")
        return PREFIX + digest.hex()[:DIGITS]


def read_source(context: Context) -> pd.DataFrame:
    """The rows of the definition's source, with pseudonyms in its personal columns.

    Raises:
        SourceError: see the source's `read`, and no message shows a cell where there are personal columns; or one of them is missing or
            holds no text.
        FinflowError: there is no key, or one that could be guessed.
        StateError: the tables were made with another key, or with other personal columns.
    """
    definition = context.definition
    source = definition.source.in_zone(time_zone(definition.calendar))
    personal = tuple(sorted(definition.personal))
    recorded = _recorded(context)
    if not personal:
        _check_columns(definition, recorded, personal)
        frame: pd.DataFrame = source.read()
        return frame
    made = Pseudonyms.from_environment(definition.name)
    _check(definition, recorded, made, personal)
    frame = _read_hidden(definition, source)
    for name in personal:
        if name not in frame:
            raise SourceError(
                f"{definition.name}: there is no column {name!r}, which `personal` names; there are {', '.join(map(str, frame.columns))}."
            )
        if frame[name].notna().any() and frame[name].dtype.kind not in "OT" and frame[name].dtype != "str":
            raise SourceError(
                f"{definition.name}: the personal column {name!r} holds {frame[name].dtype}, and pseudonyms are made of text: list it "
                "under the source's `text`."
            )
    frame = frame.assign(**{name: made.of(frame[name]) for name in personal})
    if recorded is None:
        _record(context, made, personal)
    return frame


def _read_hidden(definition: Definition, source: Any) -> pd.DataFrame:
    try:
        with cells_hidden():
            frame: pd.DataFrame = source.read()
    except FinflowError:
        raise
    except Exception as error:  # what others say of it may repeat a cell
        raise SourceError(
            f"{definition.name}: the source cannot be read ({type(error).__name__}); what it says is not shown, since the definition has "
            "personal columns."
        ) from None
    return frame


def _table(definition: Definition) -> str:
    return f"pseudonyms/{definition.name}"


def _recorded(context: Context) -> tuple[str, tuple[str, ...]] | None:
    """The id of the key and the columns that the tables were made with."""
    if not context.lake.exists(_table(context.definition)):
        return None
    row = context.lake.read(_table(context.definition)).iloc[0]
    return str(row["key_id"]), tuple(str(row["columns"]).split("\n"))


def _check(definition: Definition, recorded: tuple[str, tuple[str, ...]] | None, made: Pseudonyms, personal: tuple[str, ...]) -> None:
    _check_columns(definition, recorded, personal)
    if recorded is not None and recorded[0] != made.key_id:
        raise StateError(
            f"{definition.name}: {VARIABLE} is the key {made.key_id}, and the tables were made with {recorded[0]}: nobody would be found "
            "again. Bring that key back; if it is lost, begin anew under another name of the definition."
        )


def _check_columns(definition: Definition, recorded: tuple[str, tuple[str, ...]] | None, personal: tuple[str, ...]) -> None:
    if recorded is not None and recorded[1] != personal:
        raise StateError(
            f"{definition.name}: personal columns are now {', '.join(personal) or 'none'}, and the tables were made with "
            f"{', '.join(recorded[1])}: a column would hold both names and pseudonyms. Give the definition another name."
        )


def _record(context: Context, made: Pseudonyms, personal: tuple[str, ...]) -> None:
    """Once for a definition, before its first row is written.

    Raises:
        StateError: its tables were begun without pseudonyms, or another run has just recorded another key.
    """
    definition = context.definition
    if context.lake.exists(f"raw/{definition.name}"):
        raise StateError(
            f"{definition.name}: the table raw/{definition.name} was begun when {', '.join(personal)} was not personal, and holds the "
            "values themselves. Delete that table, or give the definition another name."
        )
    now = pd.Timestamp(datetime.datetime.now(datetime.UTC)).as_unit("us")
    row = pd.DataFrame({"key_id": [made.key_id], "columns": ["\n".join(personal)], "recorded_at": [now]})
    try:
        context.lake.append(_table(definition), row, expected_version=None)
    except ConflictError:
        _check(definition, _recorded(context), made, personal)
