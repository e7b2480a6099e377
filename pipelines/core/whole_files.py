"""Files and folders that appear whole: each is made beside its place, and put there by one rename.

What is unfinished lies in the same folder, hidden, as `.NAME.HOST-PROCESS-RANDOM.part`. A process that fails removes its own on its way
out; what a killed one left is removed by the next that makes something in that folder.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: also the files that SQLite has beside a database
_PART = re.compile(r"\..+\.(?P<host>\w+)-(?P<process>\d+)-[0-9a-f]{12}\.part(-journal|-wal|-shm)?")
_OLD_SECONDS = 86_400.0


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, in the same folder, which is made; where the block ends well, what it wrote is then at `path`."""
    part = part_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path, *, is_whole: Callable[[Path], object] = Path.is_dir, replaces: bool = False) -> Iterator[Path]:
    """An empty folder to fill; where the block ends well, it is then `folder`.

    Args:
        is_whole: whether what is there already, from another process that was quicker, will do: then that stays.
        replaces: what is there already makes room, but for what another process puts there at the same moment.

    Raises:
        OSError: something is there that will not do.
    """
    part, aside = part_of(folder), part_of(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent)
    part.mkdir()
    try:
        yield part
        if replaces:
            with suppress(FileNotFoundError):
                folder.rename(aside)
        try:
            part.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not (replaces or is_whole(folder)):
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)  # where the disk is full, half of them only takes room
        shutil.rmtree(aside, ignore_errors=True)


def write_whole(path: Path, text: str) -> None:
    """Put a text into a file, UTF-8, whole or not at all; a file that holds it already is left as it is."""
    content = text.encode()
    if not path.is_file() or path.read_bytes() != content:
        with whole_file(path) as part:
            part.write_bytes(content)


def remove_whole(folder: Path) -> None:
    """Remove a folder so that it is never there by halves. One that is gone already is no error."""
    aside = part_of(folder)
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside)


def part_of(path: Path) -> Path:
    """A path beside `path` that nobody else takes, for what is not finished; `left_behind` finds it once this process has ended."""
    return path.with_name(f".{path.name}.{_host()}-{os.getpid()}-{secrets.token_hex(6)}.part")


def left_behind(folder: Path) -> list[Path]:
    """What killed processes left in a folder: those of this machine that run no more, and those of others of more than a day ago."""
    import psutil

    remains = []
    for path in sorted(folder.glob(".*.part*")):
        named = _PART.fullmatch(path.name)
        if named is None:
            continue
        if named["host"] != _host():
            with suppress(FileNotFoundError):
                remains += [path] if time.time() - path.stat().st_mtime > _OLD_SECONDS else []
        elif not psutil.pid_exists(int(named["process"])):
            remains.append(path)
    return remains


def sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder."""
    for path in left_behind(folder):
        remove(path)


def remove(path: Path) -> None:
    """Remove a file or a folder; one that is gone already, or that cannot be removed, is left to the next who sweeps."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


@functools.cache
def _host() -> str:
    """This machine's name, as far as it stands in the names of parts."""
    return re.sub(r"\W", "_", socket.gethostname())[:40] or "host"
