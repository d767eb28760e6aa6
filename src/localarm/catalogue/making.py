"""Making a disk image: where, with which programs, and what to say when one of them fails."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PACKAGES: Final = {
    "busybox": "busybox-static",
    "fallocate": "util-linux",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mmdebstrap": "mmdebstrap",
    "sfdisk": "fdisk",
}
_APART: Final = (
    "setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
)  # fmt: skip
_TAIL: Final = 12
_PAUSE: Final = 0.2
"""Seconds between looks whether an image is still wanted."""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _proxies() -> dict[str, str]:
    """How programs get out of here, for those that download."""
    names = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
    wanted = {name for word in names for name in (word, word.upper())}
    return {name: value for name, value in os.environ.items() if name in wanted}


class CatalogueError(Exception):
    """An image cannot be made; the message holds the last lines of the program that failed and what to install."""


@dataclass(frozen=True)
class Making:
    """The making of one image.

    Attributes:
        folder: an empty directory, removed with all that is in it afterwards.
        tell: takes progress lines.
        lock: a descriptor which programs inherit, so that the lock lasts as long as the last of them.
        wanted: whether anybody still wants the image, asked now and then.
    """

    folder: Path
    tell: Callable[[str], None]
    lock: int
    wanted: Callable[[], bool] = lambda: True

    def run(
        self, *argv: str | Path, text: str | None = None, env: Mapping[str, str] | None = None, apart: bool = False
    ) -> str:
        """Run a program to its end and return what it wrote.

        Args:
            apart: in mount and PID namespaces of its own (which only root can make): what it mounts and starts goes with it,
                and it goes with this process.

        Raises:
            CatalogueError: it fails, is missing, or is ended because nobody wants the image any more.
        """
        words = [self.program(str(argv[0])), *argv[1:]]
        if apart:
            words = [self.program(_APART[0]), *_APART[1:], *words]
        with subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=[self.lock],
            env={"PATH": _PATH, "LC_ALL": "C.UTF-8", **_proxies(), **(env or {})},
            umask=0o022,  # what they make is in the image for good
            start_new_session=True,
        ) as process:
            said = self._heard(process, text)
        if process.returncode:
            last = "\n".join(f"  {line}" for line in said.splitlines()[-_TAIL:])
            raise CatalogueError(f"{argv[0]} failed with status {process.returncode}; its last lines:\n{last}")
        return said

    def _heard(self, process: subprocess.Popen[str], text: str | None) -> str:
        """What a program says until it has ended; it is ended when that is of no use any more."""
        try:
            while True:
                try:
                    return process.communicate(text, timeout=_PAUSE)[0]
                except subprocess.TimeoutExpired:
                    text = None  # it is being sent
                if not self.wanted():
                    raise CatalogueError("nobody wants it any more")
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()  # until those are gone that it has started
            raise

    def program(self, name: str) -> str:
        """Where a program is, also when the PATH of this process lacks the directories for root."""
        found = shutil.which(name, path=_PATH)
        if found is None:
            raise CatalogueError(f"{name} is missing; it comes with the Debian package {_PACKAGES.get(name, name)}")
        return found
