"""Which files a path means, and their bytes: local folders and any file system that fsspec knows."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal
from urllib.parse import unquote

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.core.secrets import expand
from finflow.pipelines.sources.allowed import FOLDERS, PROTOCOLS, Allowed
from finflow.pipelines.sources.web import Web, parsed

COMPRESSED = (".gz", ".bz2", ".xz", ".zip")
DAMAGED = (gzip.BadGzipFile, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError)
MAXIMUM_BYTES = 4 * 2**30  # of one file once unpacked: a small archive can hold any amount
ALWAYS_BYTES = 64 * 2**20  # unpacked, however small the archive
EXPANSION = 200  # times its packed size that a larger one may unpack to: text packs to a fifth or a tenth, a bomb to a thousandth


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
            SourceError: as `open`; or a damaged archive, one that unpacks to more than 200 times its size, or more than 4 GiB.
        """
        with self.open() as packed:
            suffix = PurePosixPath(self.path).suffix.lower()
            size = packed.seek(0, io.SEEK_END)
            packed.seek(0)
            limit = min(MAXIMUM_BYTES, max(ALWAYS_BYTES, EXPANSION * size)) if suffix in COMPRESSED else MAXIMUM_BYTES
            try:
                content = _plain(packed, suffix).read(limit + 1)
            except DAMAGED as error:
                raise SourceError(f"{self.label}: not a whole {suffix} file ({error}); fetch it again.") from None
            except OSError as error:
                if suffix in COMPRESSED:
                    raise SourceError(f"{self.label}: not a whole {suffix} file ({error}); fetch it again.") from None
                raise
        if len(content) > limit:
            bomb = f", though it is {size:,} bytes packed: unpack it yourself if it is meant" if limit < MAXIMUM_BYTES else ""
            raise SourceError(f"{self.label}: more than {limit:,} bytes unpacked{bomb}; or split it, or give Parquet files.")
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


def find_files(path: str, suffixes: tuple[str, ...], folder: Path | None = None) -> list[DataFile]:
    """The files that a path means, sorted by name.

    Args:
        path: a file (any suffix), a folder (its own files with one of `suffixes`, not those of folders in it), a glob, or a URL: of an
            object store, of one file by http or https, or `file://` in an allowed folder. `${NAME}` stands for an environment variable.
        folder: the definition's; where files may lie, and where a relative path begins that a variable gave.

    Raises:
        SourceError: nothing there, or an address that may not be read.
        FinflowError: a variable or a setting in the environment that is missing or wrong.
    """
    address = expand(path)
    allowed = Allowed.from_environment(folder)
    kind = _kind(address, allowed)
    if kind == "web":
        parts = parsed(address)
        return [DataFile(address, _stem(unquote(parts.path)), Web(address, allowed, MAXIMUM_BYTES), parts.path)]
    if kind == "local":
        address = str((folder or Path.cwd()) / Path(address).expanduser())
    system, root = _file_system(address)
    prefix = address[: address.index("://") + 3] if kind == "store" else ""
    try:
        entries = sorted(map(str, _found(address, system, root, suffixes)))
    except PermissionError:
        raise SourceError(f"{address}: may not be read; check its permissions.") from None
    except (OSError, ValueError) as error:
        if prefix:
            raise
        raise SourceError(f"{address!r}: cannot be looked up ({error}).") from None
    if not prefix:
        _check_local(entries, allowed, fenced=allowed.fenced or kind == "file")
    return [DataFile(prefix + entry if prefix and "://" not in entry else entry, _stem(entry), system, entry) for entry in entries]


def _found(path: str, system: Any, root: str, suffixes: tuple[str, ...]) -> list[str]:
    if system.isdir(root):
        entries = [entry for entry in system.ls(root, detail=False) if _wanted(entry, suffixes) and system.isfile(entry)]
        if not entries:
            raise SourceError(f"{path}: no file in this folder ends in {', '.join(suffixes)}.")
    elif system.exists(root):
        entries = [root]
    elif any(character in root for character in "*?["):
        hidden = PurePosixPath(root).name.startswith(".")
        entries = [
            entry for entry in system.glob(root) if system.isfile(entry) and (hidden or not PurePosixPath(entry).name.startswith("."))
        ]
        if not entries:
            raise SourceError(f"{path}: no file matches this glob.")
    else:
        raise SourceError(f"{path}: there is no such file or folder. A relative path counts from the folder of the definition.")
    return entries


def _kind(address: str, allowed: Allowed) -> Literal["local", "file", "web", "store"]:
    """What is to read an address.

    Raises:
        SourceError: a protocol that is not allowed, in any link of a chain (`zip://a.csv::s3://bucket/a.zip`).
    """
    if "://" not in address and "::" not in address:
        return "local"
    if address.startswith(("http://", "https://")):
        return "web"  # before chains are looked for: an IPv6 host is full of colons
    links = [link.partition("://") for link in address.split("::")]
    if len(links) == 1 and links[0][0] == "file":
        return "file"
    for protocol, _, rest in links:
        if protocol not in allowed.protocols:
            chain = f" as a link of {address}" if len(links) > 1 else f" ({address})"
            raise SourceError(
                f"{protocol!a} is no kind of address that is read{chain}; there are plain paths, file, http, https, "
                f"{', '.join(sorted(allowed.protocols))}. If it is meant, allow it in the environment: {PROTOCOLS}={protocol}"
            )
        if protocol in ("file", "local"):
            _check_local([rest], allowed, fenced=True)
    return "store"


def _check_local(entries: list[str], allowed: Allowed, *, fenced: bool) -> None:
    for entry in entries:
        if fenced and not allowed.holds(entry):
            raise SourceError(
                f"{entry}: lies outside the folders that sources may read (the definition's, the working folder, and those of {FOLDERS}). "
                f"If it is meant, add its folder: {FOLDERS}={PurePosixPath(entry).parent}"
            )
        if not os.path.isfile(entry):
            raise SourceError(f"{entry}: is no ordinary file (a device, pipe or socket); give a file.")


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
