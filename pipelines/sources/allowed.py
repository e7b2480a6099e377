"""What a source may read: which folders, hosts and kinds of store. The environment says so, and not the definition."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from finflow.pipelines.core.errors import FinflowError

FOLDERS, HOSTS, PROTOCOLS = "FINFLOW_SOURCE_FOLDERS", "FINFLOW_SOURCE_HOSTS", "FINFLOW_SOURCE_PROTOCOLS"
STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory")

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_EMBEDS_IPV4 = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96")))
# Azure's machine agent answers at a public address, and Oracle's in a range that not every Python counts as private.
_OF_CLOUDS = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24")))


@dataclass(frozen=True)
class Allowed:
    """What sources may read beside public hosts.

    Attributes:
        folders: `file://` addresses lie in one of these.
        fenced: plain paths must lie there too.
        hosts: (name, port or None) of hosts that are read wherever they are.
        networks: addresses that are read though they are not public.
        protocols: kinds of store, as fsspec names them.
    """

    folders: tuple[Path, ...]
    fenced: bool
    hosts: frozenset[tuple[str, int | None]]
    networks: tuple[tuple[IpNetwork, int | None], ...]
    protocols: frozenset[str]

    @classmethod
    def from_environment(cls, folder: Path | None) -> Allowed:
        """The settings in force.

        `FINFLOW_SOURCE_FOLDERS` (separated as PATH is) adds folders to the definition's own and the working folder, and once it is set,
        plain paths must lie in them too. `FINFLOW_SOURCE_HOSTS` (commas) names hosts, addresses or networks that may be read though
        they are not public, each with or without a port. `FINFLOW_SOURCE_PROTOCOLS` (commas) adds kinds of store.

        Args:
            folder: the definition's.

        Raises:
            FinflowError: an entry that is no host, address or network.
        """
        named = os.environ.get(FOLDERS, "")
        folders = [Path.cwd(), *([folder] if folder else []), *(Path(part).expanduser() for part in named.split(os.pathsep) if part)]
        hosts: set[tuple[str, int | None]] = set()
        networks: list[tuple[IpNetwork, int | None]] = []
        for entry in _listed(HOSTS):
            name, port = _host_and_port(entry)
            try:
                networks.append((ipaddress.ip_network(name, strict=False), port))
            except ValueError:
                hosts.add((name, port))
        return cls(
            folders=tuple(Path(os.path.realpath(folder_name)) for folder_name in folders),
            fenced=bool(named),
            hosts=frozenset(hosts),
            networks=tuple(networks),
            protocols=frozenset((*STORES, *_listed(PROTOCOLS))),
        )

    def holds(self, path: str | Path) -> bool:
        """Whether a local path, with its links followed, lies in one of the folders."""
        real = Path(os.path.realpath(path))
        return any(real.is_relative_to(folder) for folder in self.folders)

    def refuses(self, host: str, port: int, addresses: Iterable[str]) -> str | None:
        """Why a host at these addresses is not read, or None if it is.

        Args:
            host: as the URL names it.
            addresses: everything that its name resolves to: one that is refused is enough.
        """
        if self.hosts & {(_plain(host), None), (_plain(host), port)}:
            return None
        for text in addresses:
            address = ipaddress.ip_address(text.partition("%")[0])
            if not self._admits(address, port) and (what := what_is_private(address)):
                return f"it is at {address}, {what}"
        return None

    def _admits(self, address: IpAddress, port: int) -> bool:
        return any(allowed in (None, port) and address in network for network, allowed in self.networks)


def what_is_private(address: IpAddress) -> str | None:
    """What kind of address this is, if it is not one of the public internet; None if it is."""
    if isinstance(address, ipaddress.IPv6Address) and (inner := _embedded(address)) is not None:
        return what_is_private(inner)
    if any(address in network for network in _OF_CLOUDS):
        return "a cloud's own service address"
    kinds = {
        "a loopback address": address.is_loopback,
        "a link-local address (of this network, or a cloud's metadata)": address.is_link_local,
        "an unspecified address": address.is_unspecified,
        "a multicast address": address.is_multicast,
        "a reserved address": address.is_reserved,
        "a private address": address.is_private or not address.is_global,
    }
    return next((kind for kind, is_it in kinds.items() if is_it), None)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for: mapped, 6to4, Teredo, NAT64."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if int(address) > 1 and any(address in network for network in _EMBEDS_IPV4):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _listed(name: str) -> list[str]:
    return [entry.strip() for entry in os.environ.get(name, "").split(",") if entry.strip()]


def _host_and_port(entry: str) -> tuple[str, int | None]:
    if "/" in entry or (entry.count(":") > 1 and not entry.startswith("[")):
        return entry, None  # a network, or a bare IPv6 address
    try:
        parts = urlsplit(f"//{entry}")
        if not parts.hostname or parts.username is not None:
            raise ValueError("no host")
        return _plain(parts.hostname), parts.port
    except ValueError:
        raise FinflowError(
            f"{HOSTS}: {entry!a} is no host, address or network; write minio.internal, 10.0.0.0/8 or 127.0.0.1:9000, with commas between."
        ) from None


def _plain(host: str) -> str:
    return host.rstrip(".").lower()
