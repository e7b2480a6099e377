"""The promotions table: every decision of a definition, one row each, appended under the condition that nobody wrote in between.

It is the truth about who is champion; the registry's alias only follows it. So a run killed at any point is mended by the same command:
before the row is there, `find(run_key)` knows nothing, the run decides again, and registering (idempotent by run key) gives the same
version; once the row is there, `find` returns it, nothing is decided or written, and the alias is put where the row says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from finflow.pipelines.core.errors import FinflowError, RegistryError, StateError
from finflow.pipelines.core.manifests import Champion, Decision, JsonRecord
from finflow.pipelines.lake.lake import Lake

#: verdicts after which another version is champion
MOVES = ("promoted", "reference", "refreshed", "demoted", "rolled-back", "approved")


@dataclass(frozen=True)
class PromotionRow(JsonRecord):
    """One decision. Instants are ISO texts in UTC, dates are YYYY-MM-DD.

    `candidate`, `family`, `version`, `recipe` and `manifest_digest` are those of the champion *after* the decision (of the one that stays,
    where nothing moved); where the decision is about a version that waits for a person (see `finflow.pipelines.lake.pending`), those of
    that version. `previous_version` is the champion's before the decision. `effective_as_of` is the run's as-of, `test_end` its last test
    date. `sequence` (from 1) and `recorded_at` are set when it is recorded.
    """

    run_key: str
    verdict: str
    candidate: str
    family: str
    version: int | None
    previous_version: int | None
    effective_as_of: str
    reason: str
    level: float = 0.0
    challenge: int = 0
    test_end: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    data_version: int | None = None
    data_digest: str = ""
    code_version: str = ""
    manifest_digest: str = ""
    sequence: int = 0
    recorded_at: str = ""

    @property
    def moves(self) -> bool:
        """Whether another version is champion after it."""
        return self.verdict in MOVES

    @property
    def decision(self) -> Decision:
        """The decision as it was made."""
        return Decision(self.verdict, self.moves, self.candidate, self.reason, self.level, self.challenge, self.evidence)


class Promotions:
    """The decisions of one definition, oldest first. Reads are of the newest state; making one reads nothing."""

    def __init__(self, lake: Lake, definition_name: str) -> None:
        self.lake = lake
        self.name = definition_name
        self.table = f"promotions/{definition_name}"
        self._kept: tuple[int | None, tuple[PromotionRow, ...]] = (None, ())

    def snapshot(self) -> tuple[tuple[PromotionRow, ...], int | None]:
        """All rows, and the table version they were read at (None: no table), for `record`'s condition."""
        version = self.lake.version(self.table)
        kept = self._kept  # another thread may put a newer one in its place
        if version != kept[0]:
            frame = self.lake.read(self.table, version=version)
            rows = sorted((_row(values) for values in frame.to_dict("records")), key=lambda row: row.sequence)
            kept = self._kept = (version, tuple(rows))
        return kept[1], version

    def rows(self) -> list[PromotionRow]:
        return list(self.snapshot()[0])

    def find(self, run_key: str) -> PromotionRow | None:
        """The decision of that run, if it was recorded."""
        return next((row for row in self.rows() if row.run_key == run_key), None)

    def champion_row(self) -> PromotionRow | None:
        """The row that made the champion what it is."""
        return champion_row(self.rows())

    def champion(self) -> Champion | None:
        row = self.champion_row()
        if row is None or row.version is None:
            return None
        return Champion(self.name, row.version, row.candidate, row.effective_as_of, row.recorded_at, row.run_key, row.manifest_digest)

    def champion_recipe(self) -> dict[str, Any] | None:
        """The champion's recipe (model, settings), or None."""
        row = self.champion_row()
        return None if row is None else row.recipe

    def effective(self, date: str | pd.Timestamp) -> int | None:
        """The version that was champion for predictions made as of `date`, or None if none was yet.

        It goes by `effective_as_of`, what the decision knew, not by when it was recorded: a model trained on data up to 2015 is never used
        for 2014.

        Args:
            date: an instant (with a time zone), or a date, which means its end in UTC.
        """
        instant = pd.Timestamp(date)
        if instant.tzinfo is None:
            instant = (instant.normalize() + pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)).tz_localize("UTC")
        found = [row for row in self.rows() if row.moves and pd.Timestamp(row.effective_as_of) <= instant]
        return found[-1].version if found else None

    def record(self, row: PromotionRow, expected_version: int | None) -> int:
        """Append a decision if the table is still at `expected_version`, and return the new version.

        Raises:
            ConflictError: another run recorded a decision in between; read and decide again.
            FinflowError: the row would move the champion to a time before the present one's as-of.
            StateError: that run's decision was recorded before.
        """
        rows: Sequence[PromotionRow] = ()
        if expected_version is not None:
            rows = [_row(values) for values in self.lake.read(self.table, version=expected_version).to_dict("records")]
        if any(other.run_key == row.run_key for other in rows):
            raise StateError(f"{self.name}: the decision of run {row.run_key} is recorded already; `Promotions.find` returns it.")
        current = champion_row(sorted(rows, key=lambda other: other.sequence))
        if row.moves:
            _check_move(self.name, row, current)
        numbered = replace(row, sequence=len(rows) + 1, recorded_at=row.recorded_at or pd.Timestamp.now("UTC").isoformat())
        return self.lake.append(self.table, _frame(numbered), expected_version=expected_version)


def champion_row(rows: Sequence[PromotionRow]) -> PromotionRow | None:
    """The last of `rows` (oldest first) that moved the champion."""
    return next((row for row in reversed(rows) if row.moves), None)


def _check_move(name: str, row: PromotionRow, current: PromotionRow | None) -> None:
    if row.version is None or not row.manifest_digest:
        raise FinflowError(f"{name}: a decision {row.verdict!r} needs the version it moves to and its manifest's digest.")
    if current is not None and pd.Timestamp(row.effective_as_of) < pd.Timestamp(current.effective_as_of):
        raise FinflowError(
            f"{name}: the champion is as of {current.effective_as_of}; a decision as of {row.effective_as_of} is historical and never "
            "replaces it."
        )


def _frame(row: PromotionRow) -> pd.DataFrame:
    values = row.to_dict()
    for key in ("evidence", "recipe"):
        values[key] = json.dumps(values[key], sort_keys=True, ensure_ascii=False, allow_nan=False)
    frame = pd.DataFrame([values])
    for key in ("version", "previous_version", "data_version", "challenge", "sequence"):
        frame[key] = frame[key].astype("Int64")
    for key in ("effective_as_of", "recorded_at"):
        frame[key] = pd.to_datetime(frame[key], utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    frame["test_end"] = frame["test_end"].astype("str") if row.test_end is not None else pd.Series([None], dtype="str")
    return frame


def _row(values: dict[Any, Any]) -> PromotionRow:
    found: dict[str, Any] = {
        str(key): None if value is None or value is pd.NaT or value != value else value for key, value in values.items()
    }
    for key in ("version", "previous_version", "data_version", "challenge", "sequence"):
        found[key] = None if found[key] is None else int(found[key])
    for key in ("effective_as_of", "recorded_at"):
        found[key] = pd.Timestamp(found[key]).isoformat()
    for key in ("evidence", "recipe"):
        found[key] = json.loads(found[key])
    return PromotionRow(**found)


def trained_as_of(promotions: Promotions, version: int) -> pd.Timestamp:
    """The as-of (UTC) of the training that made `version`: the first row of the promotions table that names it.

    Raises:
        RegistryError: no row names it.
    """
    for row in promotions.rows():
        if row.version == version:
            return pd.Timestamp(row.effective_as_of)
    raise RegistryError(f"version {version} is not in the promotions table: `finflow history` lists the versions there are.")
