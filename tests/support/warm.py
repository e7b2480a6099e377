"""Processes forked from a warm one: `run` and `Popen` take the place of `subprocess`'s for Python programs that need no new interpreter.

Starting an interpreter and loading the libraries costs 12 to 28 processor seconds, a fork of a process that has them loaded a tenth. The
forked processes are as real: an id, an exit code, signals, streams, an environment, a fork server for fits. Where a new interpreter is the
point of a test (what is imported, `LD_PRELOAD`, memory, servers, several devices), `subprocess` is used.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 300.0

_lock = threading.Lock()
_server: _Server | None = None


class _Server:
    """The warm process of this test process. It ends when the pipe to it closes, however this process ends."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="warm-")
        self.address = f"{self.folder}/socket"
        ours, self._lifeline = os.pipe()
        command = [sys.executable, "-m", "tests.support.warm_server", self.address, str(ours)]
        environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")}
        self.process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, pass_fds=[ours], start_new_session=True)
        os.close(ours)

    def connected(self) -> socket.socket:
        """A connection; the process may still be loading."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(self.address)
            except OSError:
                connection.close()
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the warm process does not serve: exit code {self.process.poll()}") from None
                time.sleep(0.05)
            else:
                return connection

    def end(self) -> None:
        os.close(self._lifeline)
        self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


def begin() -> None:
    """Start the warm process, if there is none, and return at once."""
    global _server
    with _lock:
        if _server is None:
            _server = _Server()
            atexit.register(_server.end)


class Popen:
    """A forked process, with the interface of `subprocess.Popen` as far as tests need it.

    Args:
        command: `sys.executable` and its arguments: `-m MODULE ...`, `-c PROGRAM ...` or `SCRIPT ...`.
        stdout, stderr: `subprocess.PIPE`, an open file, or for errors `subprocess.STDOUT`.
    """

    def __init__(
        self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, stdout: Any, stderr: Any = None, text: bool = True
    ) -> None:
        begin()
        assert _server is not None
        assert command[0] == sys.executable, command
        self.args, self.returncode, self._text = list(command), None, text
        self.stdout, out = self._stream(stdout)
        self.stderr, err = (None, os.dup(out)) if stderr is subprocess.STDOUT else self._stream(sys.stderr if stderr is None else stderr)
        request = {"arguments": self.args[1:], "folder": str(cwd), "environment": dict(os.environ if env is None else env)}
        self._connection = _server.connected()
        content = json.dumps(request).encode() + b"\n"
        sent = socket.send_fds(self._connection, [content], [out, err])
        self._connection.sendall(content[sent:])
        os.close(out)
        os.close(err)
        self._told = b""
        answer = self._line(None)
        assert answer is not None
        self.pid: int = answer["pid"]

    def poll(self) -> int | None:
        """The exit code, or None while the process runs."""
        if self.returncode is None:
            self._take(self._line(0))
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            answer = self._line(timeout)
            if answer is None:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._take(answer)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[Any, Any]:
        """What the process printed, once it has ended."""
        deadline = None if timeout is None else time.monotonic() + timeout
        found: dict[Any, list[bytes]] = {stream: [] for stream in (self.stdout, self.stderr) if stream is not None}
        open_streams = list(found)
        while open_streams:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select(open_streams, [], [], left)
            if not ready:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            for stream in ready:
                part = os.read(stream.fileno(), 1 << 16)
                found[stream].append(part)
                if not part:
                    open_streams.remove(stream)
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        out, err = (None if s is None else self._decoded(b"".join(found[s])) for s in (self.stdout, self.stderr))
        for stream in found:
            stream.close()
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _stream(self, wanted: Any) -> tuple[IO[Any] | None, int]:
        """Our end of a stream, if it is a pipe, and the descriptor for the process."""
        if wanted is not subprocess.PIPE:
            return None, os.dup(wanted.fileno())
        ours, theirs = os.pipe()
        return (os.fdopen(ours, encoding="utf-8") if self._text else os.fdopen(ours, "rb", buffering=0)), theirs

    def _decoded(self, content: bytes) -> str | bytes:
        return content.decode("utf-8") if self._text else content

    def _line(self, timeout: float | None) -> dict[str, int] | None:
        """The next answer of the warm process, or None after so many seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._told:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._connection], [], [], left)[0]:
                return None
            part = self._connection.recv(4096)
            assert part, "the warm process has ended"
            self._told += part
        line, _, self._told = self._told.partition(b"\n")
        answer: dict[str, int] = json.loads(line)
        return answer

    def _take(self, answer: dict[str, int] | None) -> None:
        if answer is not None:
            self.returncode = answer["code"]
            self._connection.close()


def run(command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, timeout: float) -> subprocess.CompletedProcess[str]:
    """Like `subprocess.run` with `capture_output=True, text=True, check=False`.

    Raises:
        subprocess.TimeoutExpired: the process was killed after so many seconds.
    """
    process = Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(30)
        raise
    return subprocess.CompletedProcess(list(command), process.wait(), out, err)
