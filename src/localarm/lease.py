"""Holding a lease on a running world, starting it first where it does not run.

Standard library only: this is on every client's path.

The server runs as long as someone holds a connection to its socket. A client that dies, however, loses its connection at
once, so nothing is left behind by `kill -9`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SOCKET = "lease.sock"
LOCK = "start.lock"
LOG = "log"
PATIENCE = 60.0
"""Seconds to wait for a server to start or, when one is just ending, to end."""


class NoServer(Exception):
    """The server cannot be started; the message says why."""


def held(state: Path, options: Sequence[str]) -> tuple[socket.socket, dict[str, Any]]:
    """A lease on the world in `state`: the connection that is the lease, and what the server says of itself.

    Args:
        options: for `serve`, if it has to be started.

    Raises:
        NoServer: it does not start.
    """
    state.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + PATIENCE
    with _locked(state / LOCK, deadline):
        while True:
            found = connected(state)
            if found is not None:
                return found
            _start(state, options)
            if time.monotonic() > deadline:
                raise NoServer(f"the server in {state} starts and ends again; its log is {state / LOG}")


def run(state: Path, options: Sequence[str]) -> int:
    """The command `localarm lease`: print the facts, hold the lease until standard input ends or a signal comes.

    What the server says meanwhile goes to standard error.
    """
    try:
        connection, facts = held(state, options)
    except NoServer as error:
        print(f"localarm: {error}", file=sys.stderr)
        return 1
    other = sorted(set(facts.pop("options", options)) - set(options))
    if other:
        print(f"localarm: the server in {state} runs with other options: {' '.join(other)}", file=sys.stderr)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    print(json.dumps(facts), flush=True)
    with connection:
        return _hold(connection, woken)


def address(state: Path) -> tuple[int, str]:
    """A file descriptor of the directory and a short path of the socket below it (socket paths may have 107 bytes)."""
    directory = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return directory, f"/proc/self/fd/{directory}/{SOCKET}"


def _hold(connection: socket.socket, woken: int) -> int:
    stdin = 0
    rest = b""
    while True:
        readable, _, _ = select.select([stdin, connection.fileno(), woken], [], [])
        if connection.fileno() in readable:
            said = connection.recv(4096)
            *lines, rest = (rest + said).split(b"\n")
            for line in lines if said else [b"the server has ended"]:
                print(f"localarm: {line.decode(errors='replace')}", file=sys.stderr, flush=True)
            if not said:
                return 1
        if woken in readable or (stdin in readable and not os.read(stdin, 4096)):
            return 0


def connected(state: Path) -> tuple[socket.socket, dict[str, Any]] | None:
    """A lease on the server that runs in `state`, and its facts; None when none runs."""
    if not state.is_dir():
        return None
    directory, path = address(state)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.connect(path)
        connection.settimeout(PATIENCE)
        line = b""
        while not line.endswith(b"\n"):  # and not one byte more, for what follows is for whoever holds the lease
            seen = connection.recv(65536, socket.MSG_PEEK)
            if not seen:  # it is just ending
                connection.close()
                return None
            line += connection.recv(seen.find(b"\n") + 1 or len(seen))
    except (FileNotFoundError, ConnectionError):
        connection.close()
        return None
    finally:
        os.close(directory)
    connection.settimeout(None)
    return connection, json.loads(line)


def _start(state: Path, options: Sequence[str]) -> None:
    """Start a server and wait until it is ready."""
    ready, tell = os.pipe()
    with (state / LOG).open("ab") as log:
        argv = [
            sys.executable,
            "-P",
            "-m",
            "localarm",
            "serve",
            "--state",
            str(state),
            "--until-idle",
            "--ready-fd",
            str(tell),
        ]
        subprocess.Popen(
            [*argv, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[tell],
            start_new_session=True, cwd="/",
        )  # fmt: skip
    os.close(tell)
    said = b""
    deadline = time.monotonic() + PATIENCE
    with os.fdopen(ready, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            more = pipe.read(65536)
            said += more
            if not more or said == b"ready\n":
                break
    if said != b"ready\n":
        reason = said.decode(errors="replace").strip() or _last_lines(state / LOG)
        raise NoServer(f"the server in {state} did not start: {reason}")


def _last_lines(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
    return "\n".join(lines) or f"see {log}"


@contextlib.contextmanager
def _locked(file: Path, deadline: float) -> Iterator[None]:
    with file.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise NoServer(f"another client holds {file} and starts no server") from None
                time.sleep(0.01)
        yield
