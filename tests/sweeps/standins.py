"""Programs that stand in front of the real ones on $PATH, and misbehave once: at the call that was asked for."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PROGRAMS = (
    "setpriv",
    "unshare",
    "nsenter",
    "mount",
    "umount",
    "blkid",
    "partx",
    "sfdisk",
    "e2fsck",
    "resize2fs",
    "env",
)
"""What gilder starts for the builds of the host sweep."""

How = Literal["fails", "lies", "dies", "hangs", "deaf"]

_SCRIPT = """#!/bin/sh
call=1
while ! mkdir {calls}/{name}.$call 2>/dev/null; do call=$((call + 1)); done
[ -e {plan}/{name}.$call ] || exec {real} "$@"
touch {plan}/fired
case $(cat {plan}/{name}.$call) in
fails) echo '{name}: fails on purpose' >&2; exit 32 ;;
lies) {real} "$@"; echo '{name}: says that it failed' >&2; exit 32 ;;
dies) kill -KILL $$ ;;
hangs) exec sleep 1000 ;;
deaf) trap '' TERM INT HUP; exec sleep 1000 ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Misdeed:
    """The `call`th call of `program`, counted over all builds: `fails` without doing anything, `lies` (does its work and
    says that it failed), `dies` by SIGKILL, `hangs`, or is `deaf`: hangs and heeds no TERM."""

    program: str
    call: int
    how: How

    def __str__(self) -> str:
        return f"{self.program} {self.how} at call {self.call}"


class Standins:
    """The stand-ins, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._programs, self._calls, self._plan = (folder / name for name in ("programs", "calls", "plan"))
        self._programs.mkdir(parents=True)
        for name in PROGRAMS:
            real = shutil.which(name)
            assert real is not None, f"{name} is not installed"
            script = self._programs / name
            script.write_text(_SCRIPT.format(name=name, real=real, calls=self._calls, plan=self._plan))
            script.chmod(0o755)

    def environment(self, misdeed: Misdeed | None) -> dict[str, str]:
        """What a run is given that shall meet a misdeed; forgets those before."""
        for folder in (self._calls, self._plan):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        if misdeed is not None:
            (self._plan / f"{misdeed.program}.{misdeed.call}").write_text(misdeed.how)
        return {**os.environ, "PATH": f"{self._programs}:{os.environ['PATH']}"}

    @property
    def fired(self) -> bool:
        """Whether the misdeed was done."""
        return (self._plan / "fired").exists()

    def calls(self) -> dict[str, int]:
        """How often each was called."""
        found = [call.name.rpartition(".")[0] for call in self._calls.iterdir()]
        return {name: found.count(name) for name in PROGRAMS if name in found}
