"""Reading one file by http or https: from hosts that may be read, each redirect looked at again, never more than was agreed."""

from __future__ import annotations

import http.client
import socket
import ssl
import tempfile
import time
from base64 import b64encode
from dataclasses import dataclass
from typing import IO
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.core.redaction import redacted
from finflow.pipelines.sources.allowed import HOSTS, Allowed

REDIRECTS = 5
TRIES = 3
ANSWER_SECONDS = 30.0
WHOLE_SECONDS = 1800.0
PIECE = 1 << 20
IN_MEMORY = 16 << 20
PORTS = {"http": 80, "https": 443}


class _Passing(Exception):
    """A failure that another try may mend."""


@dataclass(frozen=True)
class Web:
    """What an fsspec file system is to `listing.DataFile`, for one URL.

    Every address that the host's name resolves to must be public or allowed, and the connection goes to one of those that were looked at:
    a name that answers otherwise the second time changes nothing. A redirect is a new URL, and looked at likewise; a password is not sent
    on to another host. Proxies in the environment are not used, for they would resolve names themselves.
    """

    url: str
    allowed: Allowed
    maximum_bytes: int

    def open(self, path: str, mode: str = "rb") -> IO[bytes]:
        """The whole body, seekable, from its beginning.

        Raises:
            SourceError: a host that may not be read, no answer, an answer other than 200, or too many bytes.
        """
        for attempt in range(TRIES):
            try:
                return self._fetch()
            except _Passing as error:
                failure = error
                if attempt + 1 < TRIES:
                    time.sleep(2.0**attempt)
        raise SourceError(f"{self.url}: cannot be read ({failure}), {TRIES} times over; try again later.")

    def _fetch(self) -> IO[bytes]:
        url, origin = self.url, None
        deadline = time.monotonic() + WHOLE_SECONDS
        for _ in range(REDIRECTS + 1):
            parts = parsed(url)
            here = (parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme])
            origin = origin or here
            connection = self._connect(parts, url)
            try:
                answer = self._ask(connection, parts, with_password=here == origin)
                if answer.status in (301, 302, 303, 307, 308) and answer.getheader("Location"):
                    following = urljoin(url, answer.getheader("Location") or "")
                    if parts.scheme == "https" and not following.lower().startswith("https:"):
                        raise SourceError(f"{self.url}: leads from https to {following}, which is refused.")
                    url = following
                    continue
                return self._body(answer, deadline)
            except (OSError, http.client.HTTPException) as error:
                raise _Passing(redacted(str(error)) or type(error).__name__) from None
            finally:
                connection.close()
        raise SourceError(f"{self.url}: leads on more than {REDIRECTS} times.")

    def _connect(self, parts: SplitResult, url: str) -> http.client.HTTPConnection:
        host, port = str(parts.hostname), parts.port or PORTS[parts.scheme]
        try:
            addresses = list(dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            raise _Passing(f"the host {host!a} is not found: {error}") from None
        reason = self.allowed.refuses(host, port, addresses)
        if reason is not None:
            via = "" if url == self.url else f" leads to {url}, whose"
            raise SourceError(
                f"{self.url}:{via} host {host!a} is refused: {reason}, and only public hosts are read. If it is meant, "
                f"allow it in the environment: {HOSTS}={host}:{port}"
            )
        kind = _Pinned if parts.scheme == "http" else _PinnedSecure
        return kind(host, port, addresses)

    def _ask(self, connection: http.client.HTTPConnection, parts: SplitResult, *, with_password: bool) -> http.client.HTTPResponse:
        headers = {"User-Agent": "finflow", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
        configured = urlsplit(self.url)
        if with_password and configured.username is not None:
            pair = f"{unquote(configured.username)}:{unquote(configured.password or '')}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (f"?{quote(parts.query, safe=_IN_QUERY)}" if parts.query else "")
        connection.request("GET", target, headers=headers)
        return connection.getresponse()

    def _body(self, answer: http.client.HTTPResponse, deadline: float) -> IO[bytes]:
        if answer.status in (408, 425, 429, 500, 502, 503, 504):
            raise _Passing(f"the server answers {answer.status} {answer.reason}")
        if answer.status != 200:
            raise SourceError(f"{self.url}: the server answers {answer.status} {answer.reason}; check the address and its secrets.")
        if answer.getheader("Content-Encoding", "identity").lower() != "identity":
            raise SourceError(f"{self.url}: the server packs its answer though it was asked not to; fetch the file another way.")
        file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - handed to the caller
        try:
            while piece := answer.read(PIECE):
                file.write(piece)
                if file.tell() > self.maximum_bytes:
                    raise SourceError(f"{self.url}: more than {self.maximum_bytes:,} bytes; split it.")
                if time.monotonic() > deadline:
                    raise SourceError(f"{self.url}: not whole after {WHOLE_SECONDS:.0f} s; fetch the file another way.")
            expected = answer.getheader("Content-Length")
            if expected is not None and expected.isdigit() and file.tell() != int(expected):
                raise _Passing(f"{file.tell():,} of {int(expected):,} bytes came")
            file.seek(0)
            return file
        except BaseException:
            file.close()
            raise


_IN_QUERY = "/%:@!$&'()*+,;=~-._?"


class _Pinned(http.client.HTTPConnection):
    """A connection to the addresses given, whatever the host's name resolves to by now."""

    def __init__(self, host: str, port: int, addresses: list[str]) -> None:
        super().__init__(host, port, timeout=ANSWER_SECONDS)
        self.addresses = addresses

    def connect(self) -> None:
        self.sock = _reach(self.addresses, self.port)


class _PinnedSecure(http.client.HTTPSConnection):
    """The same; the certificate must be the named host's."""

    def __init__(self, host: str, port: int, addresses: list[str]) -> None:
        self.secure = ssl.create_default_context()
        super().__init__(host, port, timeout=ANSWER_SECONDS, context=self.secure)
        self.addresses = addresses

    def connect(self) -> None:
        self.sock = self.secure.wrap_socket(_reach(self.addresses, self.port), server_hostname=self.host)


def _reach(addresses: list[str], port: int) -> socket.socket:
    failure: OSError = OSError("no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=ANSWER_SECONDS)
        except OSError as error:
            failure = error
    raise failure


def parsed(url: str) -> SplitResult:
    """The parts of an http or https URL.

    Raises:
        SourceError: another scheme (a redirect to file://), no host, or characters that no URL holds.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SourceError(f"{url!a}: is no address ({error}).") from None
    if any(ord(character) <= 32 or character in "\\\x7f" for character in url):
        raise SourceError(f"{url!a}: holds a blank, a backslash or a control character, which no address does; write them as %20.")
    if parts.scheme not in PORTS or not parts.hostname or port == 0:
        raise SourceError(f"{url!a}: is refused; expected http://HOST/... or https://HOST/...")
    return parts
