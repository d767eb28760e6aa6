"""The system inside a mounted root: running programs and touching files there, never outside."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gilder.host.hearing import OnLine
from gilder.host.run import Completed
from gilder.host.sandbox import KEEPER, FileRefused, Sandbox
from gilder.model.errors import CommandFailed, HostError
from gilder.runtime.release import Ledger, Release, releasing

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HANDED_ON = (
    "TERM",
    "LANG",
    "LC_ALL",
    "DEBIAN_FRONTEND",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
)
"""What a guest gets of gilder's environment, the proxies in capitals too. Not more: it holds Azure credentials."""

_SECLUSION = (
    # 101: action forbidden by policy (invoke-rc.d(8)).
    (
        "/usr/sbin/policy-rc.d",
        "/usr/sbin",
        b"#!/bin/sh\n# No services are started while this image is built.\nexit 101\n",
        0o755,
    ),
    # update-grub runs it where /etc/default/grub wants that; it mounts every disk in sight, other builds' among them.
    (
        "/usr/bin/os-prober",
        "/usr/bin/os-prober",
        b"#!/bin/sh\n# While this image is built, the disks in sight are none of its own.\nexit 0\n",
        0o755,
    ),
    # Against an os-prober that is installed or upgraded meanwhile. Read after /etc/default/grub, last of its directory.
    ("/etc/default/grub.d/zz-gilder.cfg", "/etc/default/grub.d", b"GRUB_DISABLE_OS_PROBER=true\n", 0o644),
)
"""What is lent to a guest so that its packages leave this machine alone: path, what must be there for it, content, mode."""


def guest_environment() -> dict[str, str]:
    """What programs in a guest are given unless told otherwise."""
    handed_on = {name for word in _HANDED_ON for name in (word, word.upper())}
    passed = {name: value for name, value in os.environ.items() if name in handed_on}
    root = {"PATH": _PATH, "HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/sh"}
    return {**root, "GRUB_DISABLE_OS_PROBER": "true", **passed}


class Guest:
    """A root filesystem mounted in a sandbox. Paths are the guest's own; every link in them is resolved beneath the root.

    The file methods raise `FileRefused` where the guest's file is not what is needed.
    """

    def __init__(self, box: Sandbox, root: Path) -> None:
        self.box = box
        self.root = root

    @property
    def enter_hint(self) -> str:
        """The command by which a person enters the guest."""
        return f"{self.box.enter_hint} -c 'exec chroot {self.root} /bin/sh'"

    async def run(
        self,
        command: Sequence[str] | str,
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        on_line: OnLine | None = None,
        check: bool = True,
        valid: Sequence[int] = (0,),
        timeout: float | None = None,
        linger: bool = True,
        where: str = "in the chroot",
    ) -> Completed:
        """Run a program, or a text by the guest's /bin/sh, in a chroot inside the sandbox (as `gilder.host.run.run`).

        `env` is the whole environment (None: `guest_environment`). What a script leaves running lives on, and is heard,
        until the sandbox's processes are ended, unless not `linger`.
        """
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        return await self.box.run(
            self.box.wrapped(["chroot", str(self.root), *argv]),
            env=guest_environment() if env is None else env,
            stdin=stdin,
            on_line=on_line,
            check=check,
            valid=valid,
            timeout=timeout,
            where=where,
            linger=linger,
        )

    async def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Put a new file at `path`; what is there is replaced (a link itself, not what it leads to)."""
        await self.box.ask("create", root=str(self.root), path=path, data=base64.b64encode(data).decode(), mode=mode)

    async def read(self, path: str) -> bytes:
        """The content of a regular file; links are followed inside the guest."""
        return base64.b64decode(await self.box.ask("read", root=str(self.root), path=path))

    async def remove(self, path: str) -> None:
        """Remove a file or link, if it is there."""
        await self.box.ask("remove", root=str(self.root), path=path)

    async def upload(self, source: str, destination: str) -> None:
        """Copy a file or directory of this machine in, by the rules of `gilder.host.carrying.upload`."""
        await self._carry("upload", _absolute(source), destination)

    async def download(self, source: str, destination: str) -> None:
        """Copy a file or directory out to this machine, by the rules of `gilder.host.carrying.download`."""
        await self._carry("download", source, _absolute(destination))

    async def fill(self, path: str, data: bytes) -> None:
        """Write a file as a user would: what a link leads to is written, an existing file keeps its mode."""
        await self._carry("content", "", path, data)

    async def _carry(self, way: str, source: str, destination: str, data: bytes | None = None) -> None:
        work = {"way": way, "root": str(self.root), "source": source, "destination": destination}
        try:
            await self.box.run([*KEEPER, "carry", json.dumps(work)], stdin=data)
        except CommandFailed as error:
            raise HostError(
                f"cannot copy {source or 'the content'} to {destination}: {' '.join(error.tail[-1:])}"
            ) from error

    async def exists(self, path: str) -> bool:
        """Whether anything is at `path`, be it a link that leads nowhere."""
        return await self.box.ask("status", root=str(self.root), path=path) is not None


def _absolute(path: str) -> str:
    """A path of this machine from the root on; the slash at its end stays, for it has a meaning."""
    return f"{Path.cwd() / path}" + "/" * (path.endswith("/") and path.strip("/") != "")


@asynccontextmanager
async def copied_in(
    guest: Guest, files: Sequence[str], ledger: Ledger, *, say: Callable[[str], None] | None = None
) -> AsyncIterator[None]:
    """Hold copies of host files in the guest, each at the same path; what was there comes back exactly afterwards.

    Where the guest itself has replaced, rewritten or removed such a copy meanwhile, that stays, and `say` hears of it.
    Raises HostError when a file cannot be read here or its directory is missing there.
    """
    async with _lending(guest, "files copied into", ledger, say) as token:
        for file in files:
            if say:
                say(file)
            try:
                await guest.box.ask(
                    "lend", root=str(guest.root), path=file, token=token, data=None, source=file, mode=None
                )
            except FileRefused as error:
                raise HostError(f"copy_files: {file} cannot be copied into the image: {error.message}") from error
        yield


@asynccontextmanager
async def secluded(guest: Guest, ledger: Ledger, *, say: Callable[[str], None] | None = None) -> AsyncIterator[None]:
    """Hold what keeps the guest's packages from this machine: they start no services here, and look for no systems on its
    disks. As `copied_in`, each where its directory (or the program whose place it takes) is there."""
    async with _lending(guest, "policy-rc.d and the like in", ledger, say) as token:
        for path, needs, text, mode in _SECLUSION:
            if await guest.exists(needs):
                data = base64.b64encode(text).decode()
                await guest.box.ask(
                    "lend", root=str(guest.root), path=path, token=token, data=data, source=None, mode=mode
                )
        yield


@asynccontextmanager
async def _lending(guest: Guest, what: str, ledger: Ledger, say: Callable[[str], None] | None) -> AsyncIterator[str]:
    """Hold files lent to the guest under the token that is yielded; all go back when the block ends."""
    token = f"gilder-{secrets.token_hex(6)}"

    async def undo() -> None:
        stays = await guest.box.ask("give_back", root=str(guest.root), token=token)
        for path, deed in stays.items():
            if say:
                say(f"{path} was {deed} during provisioning, and stays so")

    remedy = f"do not use the disk: the original files are beside theirs, with {token} in their names"
    lent = Release(what, str(guest.root), remedy, undo, within=60, goes_with=str(guest.box), must=True)
    async with releasing(ledger, lent):
        yield token


@asynccontextmanager
async def occupied(guest: Guest, ledger: Ledger, *, say: Callable[[str], None] | None = None) -> AsyncIterator[None]:
    """Hold a guest that may have processes; when the block ends, all that still run are ended (and named to `say`)."""

    async def undo() -> None:
        ended = await guest.box.end_processes()
        if ended and say:
            say(f"Ended what the provisioners left running: {', '.join(ended)}")

    remedy = f"{guest.box.enter_hint} -c 'kill -KILL -1'"
    processes = Release("processes", f"in {guest.root}", remedy, undo, within=90, goes_with=str(guest.box), must=True)
    async with releasing(ledger, processes):
        yield
