"""Plain files in the lake's location, beside its tables or in them: read whole, and written so that they outlive a power failure."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.whole_files import whole_file

if TYPE_CHECKING:
    from deltalake.fs import DeltaStorageHandler


class LakeFiles:
    """The files of a lake by their path in it ("heads/index-price.json"). Making one touches nothing.

    Attributes:
        folder: the lake's, or None for an object store, whose writes last once they are answered.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        plain = location.removeprefix("file://")
        self.folder = None if "://" in plain else Path(plain)

    def read(self, path: str) -> bytes | None:
        """A file's bytes, or None where there is no such file."""
        if self.folder is not None:
            try:
                return (self.folder / path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None
        from pyarrow.fs import FileType

        store = self._store()
        (info,) = store.get_file_info([path])
        if info.type != FileType.File:
            return None
        with store.open_input_file(path) as stream:
            return bytes(stream.read())

    def write(self, path: str, content: str) -> None:
        """Put a text there, UTF-8, whole or not at all."""
        if self.folder is not None:
            write_durably(self.folder / path, content)
            return
        # the stream beneath, for pyarrow hands on buffers, which it does not take
        stream: Any = self._store()._handler.open_output_stream(path, None)
        stream.write(content.encode())
        stream.close()

    def sync(self, paths: Iterable[str]) -> None:
        """See that these files, and that they are there, outlive a power failure: they and the folders above them go to the disk."""
        if self.folder is None:
            return
        folders = {self.folder}
        for path in paths:
            sync_path(self.folder / path)
            folders |= {self.folder / above for above in Path(path).parents}
        for folder in folders:
            sync_path(folder)

    def _store(self) -> DeltaStorageHandler:
        from deltalake.fs import DeltaStorageHandler

        return DeltaStorageHandler(self.location)


def write_durably(path: Path, content: str) -> None:
    """Put a text into a local file, UTF-8, whole or not at all, so that it outlives a power failure."""
    with whole_file(path) as part:
        part.write_text(content, encoding="utf-8")
        sync_path(part)
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """Write a file or a folder through to the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
