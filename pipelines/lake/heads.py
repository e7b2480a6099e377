"""The head of a chain, kept where the table is not: how many decisions there are, the last one's digest, and the bytes of every commit.

A chain cannot tell that its last rows are missing; its head can. It is kept in the lake (`heads/NAME.json`), so that a copy of the lake can
be verified by itself, and a second time beside MLflow's store (`mlflow/heads/NAME.json` in the home), so that an older lake that was put
back alone is noticed. The registry's model has it a third time, as a tag (see `finflow.pipelines.registry.aliases`). A table that goes on
from its head is in order, and the head follows: a crash came between the two. One that is shorter, or that went another way, is not.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from finflow.pipelines.core.errors import StateError
from finflow.pipelines.core.manifests import JsonRecord
from finflow.pipelines.lake.commits import EMPTY, GONE, log_entry
from finflow.pipelines.lake.lake_files import LakeFiles, write_durably

FORMAT = 1


@dataclass(frozen=True)
class Head(JsonRecord):
    """Where a chain stood.

    Attributes:
        sequence: of the last row.
        digest: the last row's.
        commits: by version of the table, what stands for the commit's bytes (see `commits.commit_digests`).
    """

    sequence: int
    digest: str
    commits: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        """Sequence and digest in one word: what the registry's tag holds, and what a person accepts."""
        return mark(self.sequence, self.digest)

    def changed(self, table: str, commits: Sequence[str]) -> str | None:
        """Which commit's bytes are no longer those that were written, in words; None: of those that are there none."""
        return next(
            (
                f"{_said(table, version)} was changed: its log entry, or a file that it adds, holds other bytes"
                for version, then, now in self._others(commits)
                if now not in (GONE, EMPTY)
            ),
            None,
        )

    def lost(self, table: str, commits: Sequence[str], what: str = "decisions") -> str | None:
        """Which commit was emptied or removed, in words (`what` was in it); None: none was."""
        return next(
            (
                f"{_said(table, version)} {'is gone' if now == GONE else 'was emptied'}: {what} were lost"
                for version, then, now in self._others(commits)
                if now in (GONE, EMPTY)
            ),
            None,
        )

    def _others(self, commits: Sequence[str]) -> Iterator[tuple[int, str, str]]:
        """By version what stands for the bytes of a commit then and now, where it differs."""
        for version, (then, now) in enumerate(zip(self.commits, (*commits, *[GONE] * len(self.commits)), strict=False)):
            if then != now:
                yield version, then, now


def _said(table: str, version: int) -> str:
    return f"commit {version} of the table {table} ({log_entry(table, version)})"


def mark(sequence: int, digest: str) -> str:
    """See `Head.mark`."""
    return f"{sequence} {digest}"


def mark_fault(marked: str, digests: Sequence[str]) -> str | None:
    """Why a chain with these rows' digests does not go on from a mark, in words; None where it does."""
    sequence, _, digest = marked.partition(" ")
    if not sequence.isdigit():
        return f"the head {marked[:60]!a} cannot be read"
    if int(sequence) > len(digests):
        return f"the table holds {len(digests)} decisions, and its head says {sequence}: decisions were lost"
    if int(sequence) and digests[int(sequence) - 1] != digest:
        return f"decision {sequence} is not the one that the head knows: the table went another way since"
    return None


class Heads:
    """The places where the head of a definition's chain is kept. Making one reads nothing.

    Args:
        beside: the folder of the second place, or None where there is none (a copy of a lake).
    """

    def __init__(self, location: str, name: str, beside: Path | None) -> None:
        self._files = LakeFiles(location)
        self._path = f"heads/{name}.json"
        self._second = None if beside is None else beside / f"{name}.json"

    @property
    def places(self) -> int:
        """How many there are."""
        return 1 if self._second is None else 2

    def read(self) -> dict[str, Head]:
        """By place, in words, the head that is there.

        Raises:
            StateError: one cannot be read.
        """
        second = self._second if self._second is not None and self._second.is_file() else None
        there = {
            f"the lake ({self._path})": self._files.read(self._path),
            f"the home ({self._second})": None if second is None else second.read_bytes(),
        }
        return {place: _parsed(place, content) for place, content in there.items() if content is not None}

    def write(self, head: Head) -> None:
        """Let every place say `head`. Who may only read leaves it to those who write."""
        text = json.dumps({"format": FORMAT, **head.to_dict()})
        with _if_allowed():
            self._files.write(self._path, text)
        if self._second is not None:
            with _if_allowed():
                write_durably(self._second, text)


@contextmanager
def _if_allowed() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise


def _parsed(place: str, content: bytes) -> Head:
    try:
        values = json.loads(content)
        if values["format"] != FORMAT:
            raise StateError(f"the head in {place} is of format {values['format']}; this finflow reads format {FORMAT}.")
        return Head(int(values["sequence"]), str(values["digest"]), tuple(map(str, values["commits"])))
    except (ValueError, KeyError, TypeError):
        raise StateError(
            f"the head of the decisions in {place} cannot be read: it is damaged. Put it back from a backup; if the other place is whole, "
            "delete this one, and the next command writes it again."
        ) from None
