"""Which addresses a source reads and which it refuses, over real connections to a server on loopback."""

from __future__ import annotations

import base64
import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finflow.pipelines.core.errors import FinflowError, SourceError
from finflow.pipelines.sources import CsvSource, ReplaySource
from finflow.pipelines.sources.allowed import Allowed, what_is_private
from tests.support.web_server import Answer, WebServer, web_server

CONTENT = b"date,close\n2018-01-02,1\n2018-01-03,2\n"


@pytest.fixture(autouse=True)
def _nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FINFLOW_SOURCE_HOSTS", "FINFLOW_SOURCE_FOLDERS", "FINFLOW_SOURCE_PROTOCOLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("finflow.pipelines.sources.web.time.sleep", lambda seconds: None)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server({"/acme.csv": Answer(CONTENT)}) as running:
        yield running


def allow(monkeypatch: pytest.MonkeyPatch, hosts: str) -> None:
    monkeypatch.setenv("FINFLOW_SOURCE_HOSTS", hosts)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:ffff:7f00:1]",
        "user:pass@127.0.0.1",
        "ⓛocalhost",
    ],
)
def test_loopback_is_refused_however_it_is_written(host: str, server: WebServer) -> None:
    with pytest.raises(SourceError, match=r"refused|no address|not found"):
        CsvSource(path=server.url("/acme.csv", host)).read()
    assert server.asked == []


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.0.9", "loopback"),
        ("::1", "loopback"),
        ("169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("2002:7f00:1::", "loopback"),
        ("2002:a9fe:a9fe::", "link-local"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("::127.0.0.1", "loopback"),
        ("10.1.2.3", "private"),
        ("172.31.0.1", "private"),
        ("192.168.1.1", "private"),
        ("100.100.100.200", "private"),
        ("fd00:ec2::254", "private"),
        ("192.0.0.192", "cloud"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("168.63.129.16", "cloud"),
    ],
)
def test_addresses_that_are_not_public(address: str, kind: str) -> None:
    assert kind in str(what_is_private(ipaddress.ip_address(address)))


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2002:5db8:d70e::"])
def test_addresses_that_are_public(address: str) -> None:
    assert what_is_private(ipaddress.ip_address(address)) is None


def test_a_name_that_resolves_to_a_private_address_is_refused(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {"quotes.example": ["93.184.215.14", "127.0.0.1"]})
    with pytest.raises(SourceError, match=r"'quotes\.example' is refused: it is at 127\.0\.0\.1, a loopback address") as raised:
        CsvSource(path=server.url("/acme.csv", "quotes.example")).read()
    assert f"FINFLOW_SOURCE_HOSTS=quotes.example:{server.port}" in str(raised.value)
    assert server.asked == []


def test_the_connection_goes_where_was_looked_whatever_the_name_says_later(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    resolve(monkeypatch, {"quotes.example": answers[0]})
    allow(monkeypatch, "127.0.0.0/8")
    looked: list[str] = []
    before = socket.getaddrinfo

    def rebinding(host: str, *rest: Any, **named: Any) -> Any:
        looked.append(host)
        return before(host, *rest, **named) if looked.count(host) == 1 else pytest.fail(f"{host} was looked up again")

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert len(CsvSource(path=server.url("/acme.csv", "quotes.example")).read()) == 2
    assert looked.count("quotes.example") == 1
    assert server.asked[0][1]["Host"] == f"quotes.example:{server.port}"


@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.0/8", "127.0.0.1:{port}", "10.0.0.0/8, 127.0.0.1", "::1, 127.0.0.1"])
def test_what_the_settings_allow_is_read(entry: str, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, entry.format(port=server.port))
    found = CsvSource(path=server.url("/acme.csv")).read()
    assert found["entity"].tolist() == ["acme", "acme"]
    assert found["close"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("entry", ["127.0.0.1:1", "127.0.0.2", "localhost", "10.0.0.0/8"])
def test_what_the_settings_do_not_name_stays_refused(entry: str, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, entry)
    with pytest.raises(SourceError, match="is refused"):
        CsvSource(path=server.url("/acme.csv")).read()


def test_a_setting_that_means_nothing_is_named(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, "user@host")
    with pytest.raises(FinflowError, match="FINFLOW_SOURCE_HOSTS: 'user@host' is no host"):
        CsvSource(path=server.url("/acme.csv")).read()


def test_redirects_are_followed_where_they_lead_to_what_may_be_read(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, f"127.0.0.1:{server.port}")
    server.answers["/a"] = Answer(status=302, headers={"Location": "b"})
    server.answers["/b"] = Answer(status=307, headers={"Location": server.url("/acme.csv?day=1&key=%20x")})
    server.answers["/acme.csv?day=1&key=%20x"] = Answer(CONTENT)
    assert len(CsvSource(path=server.url("/a")).read()) == 2
    assert [path for path, _ in server.asked] == ["/a", "/b", "/acme.csv?day=1&key=%20x"]


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254, a link-local address"),
        ("http://127.0.0.2:{port}/acme.csv", "127.0.0.2, a loopback address"),
        ("http://[::1]:{port}/acme.csv", "::1, a loopback address"),
        ("http://2130706434:{port}/acme.csv", "127.0.0.2, a loopback address"),
        ("//127.0.0.2:{port}/acme.csv", "127.0.0.2, a loopback address"),
        ("file:///etc/passwd", "refused; expected http"),
        ("ftp://127.0.0.1/x", "refused; expected http"),
        ("/again", "leads on more than 5 times"),
    ],
)
def test_redirects_to_what_may_not_be_read_are_refused(target: str, told: str, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, f"127.0.0.1:{server.port}")
    server.answers["/again"] = Answer(status=301, headers={"Location": target.format(port=server.port)})
    with pytest.raises(SourceError, match=told):
        CsvSource(path=server.url("/again")).read()
    assert {path for path, _ in server.asked} == {"/again"}


def test_a_password_goes_to_its_own_host_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with web_server({"/acme.csv": Answer(CONTENT)}) as other, web_server({}) as server:
        allow(monkeypatch, "127.0.0.1")
        server.answers["/here"] = Answer(status=302, headers={"Location": "/there"})
        server.answers["/there"] = Answer(status=302, headers={"Location": other.url("/acme.csv")})
        CsvSource(path=server.url("/here", "ann:p%40ss@127.0.0.1")).read()
        expected = f"Basic {base64.b64encode(b'ann:p@ss').decode()}"
        assert [headers.get("Authorization") for _, headers in server.asked] == [expected, expected]
        assert [headers.get("Authorization") for _, headers in other.asked] == [None]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(status=404), "answers 404"),
        (Answer(status=401), "answers 401"),
        (Answer(status=503), "answers 503 .*3 times over"),
        (Answer(CONTENT, headers={"Content-Length": "99"}), "37 of 99 bytes came"),
        (Answer(CONTENT, headers={"Content-Encoding": "gzip"}), "packs its answer"),
    ],
)
def test_an_answer_that_is_no_file(answer: Answer, told: str, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, "127.0.0.1")
    server.answers["/acme.csv"] = answer
    with pytest.raises(SourceError, match=told) as raised:
        CsvSource(path=server.url("/acme.csv", "ann:hunter2@127.0.0.1")).read()
    assert "hunter2" not in str(raised.value)


def test_no_more_is_fetched_than_was_agreed(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, "127.0.0.1")
    monkeypatch.setattr("finflow.pipelines.sources.listing.MAXIMUM_BYTES", 30)
    with pytest.raises(SourceError, match="more than 30 bytes"):
        CsvSource(path=server.url("/acme.csv")).read()


def test_file_addresses_stay_in_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, outside = tmp_path / "definition", tmp_path / "elsewhere"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "acme.csv").write_bytes(CONTENT)
    (inside / "link.csv").symlink_to(outside / "acme.csv")
    assert len(CsvSource(path=f"file://{inside}/acme.csv").resolved(inside).read()) == 2
    refused = [
        f"file://{outside}/acme.csv",
        f"file://{inside}/../elsewhere/acme.csv",
        f"file://{inside}/link.csv",
        f"file://{inside}/*.csv",
        f"file://{outside}",
        "file:///etc/passwd",
    ]
    for path in refused:
        with pytest.raises(SourceError, match=r"outside the folders|no file in this folder"):
            CsvSource(path=path).resolved(inside).read()
    with pytest.raises(SourceError, match="outside the folders"):
        ReplaySource(source={"kind": "csv", "path": refused[0]}, start="2018-01-01", until="2018-02-01").resolved(inside).read()
    monkeypatch.setenv("FINFLOW_SOURCE_FOLDERS", f"{tmp_path / 'other'}:{outside}")
    assert len(CsvSource(path=f"file://{outside}/acme.csv").resolved(inside).read()) == 2
    monkeypatch.delenv("FINFLOW_SOURCE_FOLDERS")
    monkeypatch.chdir(outside)
    assert len(CsvSource(path=f"file://{outside}/acme.csv").resolved(inside).read()) == 2


def test_plain_paths_are_free_until_the_folders_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme.csv").write_bytes(CONTENT)
    source = CsvSource(path="../acme.csv").resolved(tmp_path / "definition")
    (tmp_path / "definition").mkdir()
    assert len(source.read()) == 2
    monkeypatch.setenv("FINFLOW_SOURCE_FOLDERS", str(tmp_path / "data"))
    with pytest.raises(SourceError, match=r"acme\.csv: lies outside the folders .* FINFLOW_SOURCE_FOLDERS"):
        source.read()


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin"])
def test_devices_are_no_files(path: str) -> None:
    with pytest.raises(SourceError, match=r"no ordinary file|no such file|may not be read"):
        CsvSource(path=path).read()


@pytest.mark.parametrize(
    "path",
    [
        "ftp://host/a.csv",
        "sftp://host/a.csv",
        "smb://host/a.csv",
        "github://owner:repo@/a.csv",
        "reference://a.json",
        "data:text/csv;base64,::x",
        "FILE:///etc/passwd",
        "local:///etc/passwd",
        "simplecache::http://127.0.0.1/a.csv",
        "filecache::file:///etc/passwd",
        "zip://a.csv::file:///etc/x.zip",
        "zip://a.csv::/etc/x.zip",
        "dir://x::s3://bucket/a.csv",
        "s3://bucket/a.csv::file:///etc/passwd",
    ],
)
def test_other_kinds_of_address_and_chains_are_refused(path: str) -> None:
    with pytest.raises(SourceError, match="is no kind of address that is read"):
        CsvSource(path=path).read()


def test_a_chain_is_read_when_every_link_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import zipfile

    import fsspec

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("acme.csv", CONTENT)
    store = fsspec.filesystem("memory")
    store.pipe("/finflow-chain/a.zip", packed.getvalue())
    source = CsvSource(path="zip://acme.csv::memory://finflow-chain/a.zip")
    try:
        with pytest.raises(SourceError, match="'zip' is no kind of address"):
            source.read()
        monkeypatch.setenv("FINFLOW_SOURCE_PROTOCOLS", "zip")
        assert len(source.read()) == 2
        monkeypatch.setenv("FINFLOW_SOURCE_PROTOCOLS", "zip, file")
        with pytest.raises(SourceError, match="outside the folders"):
            CsvSource(path="zip://acme.csv::file:///etc/a.zip").read()
    finally:
        store.rm("/finflow-chain", recursive=True)


def test_a_variable_gives_part_of_an_address_and_is_not_shown(server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, "127.0.0.1")
    monkeypatch.setenv("QUOTES_BASE", server.url("", "ann:hunter2@127.0.0.1"))
    monkeypatch.setenv("QUOTES_KEY", "sesame-open")
    server.answers["/acme.csv?k=sesame-open"] = Answer(CONTENT)
    source = CsvSource(path="${QUOTES_BASE}/acme.csv?k=${QUOTES_KEY}").resolved(tmp_path)
    assert source.read()["entity"].tolist() == ["acme", "acme"]
    del server.answers["/acme.csv?k=sesame-open"]
    with pytest.raises(SourceError, match="404") as raised:
        source.read()
    assert str(raised.value).startswith("${QUOTES_BASE}/acme.csv?k=${QUOTES_KEY}: ")
    monkeypatch.delenv("QUOTES_KEY")
    with pytest.raises(FinflowError, match="reads the environment variable QUOTES_KEY, which is not set"):
        source.read()
    (tmp_path / "a.csv").write_bytes(CONTENT)
    monkeypatch.setenv("QUOTES_FILE", "a")
    assert len(CsvSource(path="${QUOTES_FILE}.csv").resolved(tmp_path).read()) == 2


def test_settings_show_no_password() -> None:
    source = CsvSource(path="https://ann:hunter2@host/a.csv?apikey=hunter2")
    shown = [repr(source), str(source), source.model_dump_json(), str(source.model_dump()), source.model_copy().model_dump_json()]
    assert not [text for text in shown if "hunter2" in text]
    assert source.path == "https://ann:hunter2@host/a.csv?apikey=hunter2"
    assert Allowed.from_environment(None).fenced is False


def resolve(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> None:
    """Let these names resolve to these addresses; all others as ever."""
    before = socket.getaddrinfo

    def found(host: str, port: Any, *rest: Any, **named: Any) -> Any:
        if host not in names:
            return before(host, port, *rest, **named)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in names[host]]

    monkeypatch.setattr(socket, "getaddrinfo", found)
