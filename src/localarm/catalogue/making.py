"""Making a disk image: where, with which programs, and what to say when one of them fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
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
_TAIL: Final = 12
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
    """

    folder: Path
    tell: Callable[[str], None]
    lock: int

    def run(self, *argv: str | Path, text: str | None = None, env: Mapping[str, str] | None = None) -> str:
        """Run a program to its end and return what it wrote. Raises CatalogueError if it fails or is missing."""
        program = self.program(str(argv[0]))
        done = subprocess.run(
            [program, *argv[1:]],
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            pass_fds=[self.lock],
            env={"PATH": _PATH, "LC_ALL": "C.UTF-8", **_proxies(), **(env or {})},
            umask=0o022,  # what they make is in the image for good
        )
        if done.returncode:
            last = "\n".join(f"  {line}" for line in done.stdout.splitlines()[-_TAIL:])
            raise CatalogueError(f"{argv[0]} failed with status {done.returncode}; its last lines:\n{last}")
        return done.stdout

    def program(self, name: str) -> str:
        """Where a program is, also when the PATH of this process lacks the directories for root."""
        found = shutil.which(name, path=_PATH)
        if found is None:
            raise CatalogueError(f"{name} is missing; it comes with the Debian package {_PACKAGES.get(name, name)}")
        return found
