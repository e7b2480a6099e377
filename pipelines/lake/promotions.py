"""The promotions table: every decision of a definition, one row each, appended under the condition that nobody wrote in between.

It is the truth about who is champion; the registry's alias only follows it. So a run killed at any point is mended by the same command:
before the row is there, `find(run_key)` knows nothing, the run decides again, and registering (idempotent by run key) gives the same
version; once the row is there, `find` returns it, nothing is decided or written, and the alias is put where the row says.

The rows are a chain (see `finflow.pipelines.lake.chain`), whose head is kept elsewhere, too (see `finflow.pipelines.lake.heads`). Whoever
reads them has held them against both: a record that was changed, cut short or damaged is refused, here and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from finflow.pipelines.core.errors import FinflowError, RegistryError, StateError
from finflow.pipelines.core.manifests import Champion, Decision, JsonRecord
from finflow.pipelines.lake.chain import BEFORE, OWN, before_the_chain, chain_faults, next_link
from finflow.pipelines.lake.commits import commit_digests, committed_files
from finflow.pipelines.lake.decided_losses import losses_fault
from finflow.pipelines.lake.heads import Head, Heads, mark_fault
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.lake_files import LakeFiles

#: verdicts after which another version is champion
MOVES = ("promoted", "reference", "refreshed", "demoted", "rolled-back", "approved")
#: a person's word that the record stands although a head says more, or otherwise
HEAD_ACCEPTED = "head-accepted"
_JSON = ("evidence", "recipe", "decided_on")


@dataclass(frozen=True)
class PromotionRow(JsonRecord):
    """One decision. Instants are ISO texts in UTC, dates are YYYY-MM-DD.

    `candidate`, `family`, `version`, `recipe` and `manifest_digest` are those of the champion *after* the decision (of the one that stays,
    where nothing moved); where the decision is about a version that waits for a person (see `finflow.pipelines.lake.pending`), those of
    that version. `previous_version` is the champion's before the decision. `effective_as_of` is the run's as-of, `test_end` its last test
    date. `decided_on` says where the losses lie that it was decided on, and how they were compared (see
    `finflow.pipelines.training.decided`); empty where no training decided. `sequence` (from 1), `recorded_at` and the digests are set when
    it is recorded.
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
    decided_on: dict[str, Any] = field(default_factory=dict)
    sequence: int = 0
    recorded_at: str = ""
    previous_digest: str = ""
    digest: str = ""

    @property
    def moves(self) -> bool:
        """Whether another version is champion after it."""
        return self.verdict in MOVES

    @property
    def decision(self) -> Decision:
        """The decision as it was made."""
        return Decision(self.verdict, self.moves, self.candidate, self.reason, self.level, self.challenge, self.evidence)


@dataclass(frozen=True)
class Examined:
    """The promotions table, and what is wrong with it, in words.

    Attributes:
        rows: oldest first; as many as can be read.
        version: the table's (None: no table).
        broken: what no person may accept: a damaged table or loss, or a chain that does not hold; by the row's place, -1 for the table.
        refused: by the place of a head that the table does not go on from: its mark, and why not.
        behind: whether some head has to follow.
    """

    rows: tuple[PromotionRow, ...]
    version: int | None
    broken: dict[int, str] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    behind: bool = False


class Promotions:
    """The decisions of one definition, oldest first. Reads are of the newest state; making one reads nothing.

    Args:
        heads: the folder of the chain's second head (a home's `heads`), or None: only the lake has one.
    """

    def __init__(self, lake: Lake, definition_name: str, heads: Path | None = None) -> None:
        self.lake = lake
        self.name = definition_name
        self.table = f"promotions/{definition_name}"
        self.heads = Heads(lake.location, definition_name, heads)
        self._kept: tuple[int | None, dict[str, Head], tuple[PromotionRow, ...]] | None = None

    def snapshot(self) -> tuple[tuple[PromotionRow, ...], int | None]:
        """All rows, and the table version they were read at (None: no table), for `record`'s condition.

        Raises:
            StateError: the record is not as it was written; says what is wrong and what to do.
        """
        heads = self.heads.read()
        kept = self._kept  # another thread may put a newer one in its place
        if kept is None or kept[1] != heads or kept[0] != self.lake.version(self.table):
            found = self.examine()
            for fault in found.broken.values():
                raise StateError(
                    f"{self.name}: {fault}. Nothing goes on over a record that is not as it was written: put the lake and the MLflow store "
                    f"back together from a backup. finflow verify {self.name} says what else is wrong."
                )
            for place, (_, fault) in found.refused.items():
                raise StateError(
                    f"{self.name}: {fault} (the head in {place}). Nothing goes on over such a record: put the lake and the MLflow store "
                    "back together from a backup. If it is to stand as it is (an older lake was put back alone, say), a person accepts it, "
                    f"on the record: finflow verify {self.name} --accept-head --by WHO --why TEXT"
                )
            if found.behind:
                self._advance(found.rows, found.version)
            kept = self._kept = (found.version, self.heads.read(), found.rows)
        return kept[2], kept[0]

    def examine(self) -> Examined:
        """Hold the table against its own chain, the losses that it names and its heads; raises nothing for what is wrong with them."""
        heads = self.heads.read()
        files = LakeFiles(self.lake.location)
        longest = max((len(head.commits) for head in heads.values()), default=0)
        commits = commit_digests(files, self.table, longest)
        changed = next((fault for head in heads.values() if (fault := head.changed(self.table, commits))), None)
        if changed:
            return Examined((), None, {-1: changed})  # and nothing is read: a reader may end the process over damaged bytes
        lost = {place: fault for place, head in heads.items() if (fault := head.lost(self.table, commits))}
        try:
            version = self.lake.version(self.table)
            rows = self._rows_at(version)
        except FinflowError as error:
            return Examined((), None, {-1: next(iter(lost.values()), str(error))})
        plain = [row.to_dict() for row in rows]
        broken = chain_faults(self.name, plain)
        for place, row in enumerate(rows):
            if fault := losses_fault(files, row.decided_on):
                broken.setdefault(place, f"decision {place + 1}: {fault}")
        accepted = {str(one) for row in rows if row.verdict == HEAD_ACCEPTED for one in row.evidence["accepted"]}
        digests = [row.digest for row in rows]
        refused = {
            place: (head.mark, fault)
            for place, head in heads.items()
            if head.mark not in accepted and (fault := lost.get(place) or mark_fault(head.mark, digests))
        }
        chained = len(rows) - before_the_chain(plain)
        if chained > 1 and not heads:
            refused["neither"] = ("", "the chain has no head: it was deleted in the lake, and is not in the home")
        level = len(heads) == self.heads.places and {head.sequence for head in heads.values()} == {len(rows)}
        return Examined(rows, version, broken, refused, bool(chained) and not level)

    def _rows_at(self, version: int | None) -> tuple[PromotionRow, ...]:
        """The rows of a version of the table, held against nothing."""
        if version is None:
            return ()
        frame = self.lake.read(self.table, version=version)
        try:
            return tuple(sorted((_row(values) for values in frame.to_dict("records")), key=lambda row: row.sequence))
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"the table {self.table} holds what is no decision ({type(error).__name__}: {error})") from error

    def _advance(self, rows: Sequence[PromotionRow], version: int | None) -> None:
        """Let the heads say what the table says. Of two at once the older may come last: the next who reads puts that right."""
        commits = commit_digests(LakeFiles(self.lake.location), self.table, 0 if version is None else version + 1)
        self.heads.write(Head(len(rows), rows[-1].digest, commits))

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
            StateError: that run's decision was recorded before; or the rows are no whole chain.
        """
        rows = self._rows_at(expected_version)
        plain = [other.to_dict() for other in rows]
        for fault in chain_faults(self.name, plain).values():
            raise StateError(f"{self.name}: {fault}: nothing is added to such a record. finflow verify {self.name} says more.")
        if any(other.run_key == row.run_key for other in rows):
            raise StateError(f"{self.name}: the decision of run {row.run_key} is recorded already; `Promotions.find` returns it.")
        if row.moves:
            _check_move(self.name, row, champion_row(rows))
        numbered = replace(row, sequence=len(rows) + 1, recorded_at=row.recorded_at or pd.Timestamp.now("UTC").isoformat())
        link = next_link(self.name, plain, _as_kept(numbered).to_dict())
        linked = replace(numbered, previous_digest=link[BEFORE], digest=link[OWN])
        version = self.lake.append(self.table, _frame(linked), expected_version=expected_version)
        files = LakeFiles(self.lake.location)
        files.sync(committed_files(files, self.table, version))
        self._advance([*rows, linked], version)
        return version


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
    for key in _JSON:
        values[key] = json.dumps(values[key], sort_keys=True, ensure_ascii=False, allow_nan=False)
    frame = pd.DataFrame([values])
    for key in ("version", "previous_version", "data_version", "challenge", "sequence"):
        frame[key] = frame[key].astype("Int64")
    for key in ("effective_as_of", "recorded_at"):
        frame[key] = pd.to_datetime(frame[key], utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    frame["test_end"] = frame["test_end"].astype("str") if row.test_end is not None else pd.Series([None], dtype="str")
    return frame


def _as_kept(row: PromotionRow) -> PromotionRow:
    """The row as it will be read again: its digest is of that."""
    return _row(_frame(row).astype(object).to_dict("records")[0])


def _row(values: dict[Any, Any]) -> PromotionRow:
    found: dict[str, Any] = {str(key): None if pd.isna(value) else value for key, value in values.items()}
    for key in ("version", "previous_version", "data_version", "challenge", "sequence"):
        found[key] = None if found[key] is None else int(found[key])
    for key in ("effective_as_of", "recorded_at"):
        found[key] = pd.Timestamp(found[key]).isoformat()
    for key in _JSON:
        found[key] = json.loads(found.get(key) or "{}")
    for key in (OWN, BEFORE):  # a row that an earlier finflow recorded has none
        found[key] = found.get(key) or ""
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
