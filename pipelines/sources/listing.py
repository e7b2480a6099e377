"""Which files a path means, and their bytes: local folders and any file system that fsspec knows."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

from pipelines.errors import SourceError

COMPRESSED = (".gz", ".bz2", ".xz", ".zip")
DAMAGED = (gzip.BadGzipFile, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError)
MAXIMUM_BYTES = 4 * 2**30  # of one file once unpacked: a small archive can hold any amount


@dataclass(frozen=True)
class DataFile:
    """One file of a source.

    Attributes:
        label: its path or URL, for messages.
        stem: its name without folders and suffixes: an entity, where there is one file an entity.
    """

    label: str
    stem: str
    system: Any
    path: str

    def open(self) -> IO[bytes]:
        """Its raw bytes, seekable.

        Raises:
            SourceError: it is gone or may not be read.
        """
        try:
            opened: IO[bytes] = self.system.open(self.path, "rb")
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            raise SourceError(f"{self.label}: cannot be read ({type(error).__name__}); check that it is there and may be read.") from None
        return opened

    def unpacked(self) -> bytes:
        """Its bytes, unpacked if its suffix says that it is packed.

        Raises:
            SourceError: as `open`; or a damaged archive, or more than 4 GiB.
        """
        with self.open() as packed:
            suffix = PurePosixPath(self.path).suffix.lower()
            try:
                content = _plain(packed, suffix).read(MAXIMUM_BYTES + 1)
            except DAMAGED as error:
                raise SourceError(f"{self.label}: not a whole {suffix} file ({error}); fetch it again.") from None
            except OSError as error:
                if suffix in COMPRESSED:
                    raise SourceError(f"{self.label}: not a whole {suffix} file ({error}); fetch it again.") from None
                raise
        if len(content) > MAXIMUM_BYTES:
            raise SourceError(f"{self.label}: more than {MAXIMUM_BYTES:,} bytes unpacked; split it, or give Parquet files.")
        return content


def _plain(packed: IO[bytes], suffix: str) -> IO[bytes]:
    if suffix == ".gz":
        return gzip.open(packed)  # type: ignore[return-value]
    if suffix == ".bz2":
        return bz2.open(packed)  # type: ignore[return-value]
    if suffix == ".xz":
        return lzma.open(packed)
    if suffix == ".zip":
        archive = zipfile.ZipFile(io.BytesIO(packed.read(MAXIMUM_BYTES)))
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) != 1 or members[0].flag_bits & 1:
            raise zipfile.BadZipFile(f"expected one unencrypted file in it, found {len(members)}")
        return archive.open(members[0])
    return packed


def find_files(path: str, suffixes: tuple[str, ...]) -> list[DataFile]:
    """The files that a path means, sorted by name.

    Args:
        path: a file (any suffix), a folder (its own files with one of `suffixes`, not those of folders in it), or a glob.

    Raises:
        SourceError: nothing there, or a protocol that is not installed.
    """
    system, root = _file_system(path)
    prefix = path[: path.index("://") + 3] if "://" in path else ""
    try:
        if system.isdir(root):
            found = [entry for entry in system.ls(root, detail=False) if _wanted(entry, suffixes) and system.isfile(entry)]
            if not found:
                raise SourceError(f"{path}: no file in this folder ends in {', '.join(suffixes)}.")
        elif system.exists(root):
            found = [root]
        elif any(character in root for character in "*?["):
            hidden = PurePosixPath(root).name.startswith(".")
            found = [
                entry for entry in system.glob(root) if system.isfile(entry) and (hidden or not PurePosixPath(entry).name.startswith("."))
            ]
            if not found:
                raise SourceError(f"{path}: no file matches this glob.")
        else:
            raise SourceError(f"{path}: there is no such file or folder. A relative path counts from the folder of the definition.")
    except PermissionError:
        raise SourceError(f"{path}: may not be read; check its permissions.") from None
    except (OSError, ValueError) as error:
        if prefix:
            raise
        raise SourceError(f"{path!r}: cannot be looked up ({error}).") from None
    return [
        DataFile(prefix + entry if prefix and "://" not in entry else entry, _stem(entry), system, entry)
        for entry in sorted(map(str, found))
    ]


def _file_system(path: str) -> tuple[Any, str]:
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise SourceError(f"{path}: this kind of address cannot be read ({error}); install what fsspec names, or copy the files.") from None
    return system, str(root)


def _wanted(entry: str, suffixes: tuple[str, ...]) -> bool:
    name = PurePosixPath(entry).name.lower()
    packed = next((suffix for suffix in COMPRESSED if name.endswith(suffix)), "")
    return not name.startswith((".", "_")) and name.removesuffix(packed).endswith(suffixes)


def _stem(entry: str) -> str:
    name = PurePosixPath(entry).name
    for suffix in COMPRESSED:
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return PurePosixPath(name).stem
