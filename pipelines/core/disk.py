"""A full disk, said in words: what could not be written, and how much is free where."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finflow.pipelines.core.errors import DiskFullError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LITTLE = 1 << 20  # bytes: less is as good as nothing
# Rust, SQLite, Arrow and NumPy pass on what the system said as text, and not always in its words.
_WORDS = re.compile(
    r"No space left on device|disk is full|Disk quota exceeded|File too large|os error (?:28|122|27)\b|\d+ requested and \d+ written",
    re.IGNORECASE,
)


@contextmanager
def room_for(what: str, where: str | Path) -> Iterator[None]:
    """Turn a failure for want of room into one message.

    Args:
        what: was to be written, in words: "table clean/index-price".
        where: a path on that disk; what is free there is said.

    Raises:
        DiskFullError: in place of an error that says that there is no room.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        full = no_space(error, what, where)
        if full is None:
            raise
        raise full from error


def no_space(error: BaseException | None, what: str, where: str | Path | None = None) -> DiskFullError | None:
    """The error to raise if this one, or one that it came from, says that there is no room; None if not."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        said = getattr(error, "errno", None) in _FULL or _WORDS.search(str(error))
        if said or ("disk I/O error" in str(error) and where is not None and looks_full(where)):
            return full(what, where if where is not None else getattr(error, "filename", None))
        error = error.__cause__ or error.__context__
    return None


def full(what: str, where: str | Path | None) -> DiskFullError:
    """The error that says that there was no room for `what` at the path `where`."""
    return DiskFullError(
        f"the disk is full: {what} could not be written{_free(where)}. What was there before is as it was. Make room (`finflow prune` "
        "frees what no recorded run needs), and run the same command again."
    )


def looks_full(where: str | Path) -> bool:
    """Whether hardly anything is free where a path lies."""
    return shutil.disk_usage(_existing(where)).free < LITTLE


def _free(where: str | Path | None) -> str:
    if where is None or "://" in str(where):
        return ""
    folder = _existing(where)
    return f"; {shutil.disk_usage(folder).free / 1e6:,.1f} MB are free at {folder}"


def _existing(where: str | Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    folder = Path(where).absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
