"""The `manifest` post-processor: a JSON file, shared by builds and runs, that says what was built (Packer's format)."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from gilder.model.errors import HostError
from gilder.model.ids import ArmId
from gilder.runtime.locks import KeyedLocks


@dataclass(frozen=True, slots=True)
class Entry:
    """What the manifest says of one build. `time` is in seconds since the epoch; None: not told (strip_time)."""

    build: str
    builder_type: str
    time: int | None
    artifact_id: str
    run: str
    custom_data: dict[str, str] | None

    def written(self) -> dict[str, Any]:
        """The entry as it stands in the file. An image in Azure has no files."""
        return {
            "name": self.build,
            "builder_type": self.builder_type,
            **({} if self.time is None else {"build_time": self.time}),
            "files": None,
            "artifact_id": self.artifact_id,
            "packer_run_uuid": self.run,
            "custom_data": self.custom_data and dict(sorted(self.custom_data.items())),
        }


def artifact_id(artifacts: Sequence[ArmId]) -> str:
    """The images of a build as Packer's azure-chroot builder names them."""
    return ",".join(sorted(str(artifact).lower() for artifact in artifacts))


async def add_in_turn(path: Path, entry: Entry, turns: KeyedLocks, *, fresh: bool) -> None:
    """Add an entry to a manifest when it is this build's turn (as `add_entry`)."""
    real = Path(os.path.realpath(path))  # a link stays a link, and two names of one file are one file
    async with turns.held(f"manifest {real}"):
        # Not cancelled half-way: the thread would go on without its turn.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(partial(add_entry, real, entry, fresh=fresh))


def add_entry(path: Path, entry: Entry, *, fresh: bool) -> None:
    """Add an entry to the manifest; whoever calls this holds its turn. Blocks; run it in a thread.

    With `fresh` (-force) what other runs wrote goes. The file is replaced in one step, so that a reader, or a crash, never
    meets half of it. Raises HostError when it cannot be read or written, or is no manifest: then it stays as it is.
    """
    try:
        whole = _read(path)
        if fresh and whole.get("last_run_uuid") != entry.run:
            whole = {"builds": []}
        _replace(path, _text({"builds": [*whole["builds"], entry.written()], "last_run_uuid": entry.run}))
    except OSError as error:
        raise HostError(f"the manifest {path} cannot be written: {error}", hint="correct its option output") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {"builds": []}
    except UnicodeDecodeError:
        text = ""
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    if not isinstance(whole, dict) or not isinstance(whole.get("builds") or [], list):
        raise HostError(f"{path} is there and is no manifest", hint="move it away, or correct the option output")
    return {**whole, "builds": whole.get("builds") or []}


def _text(whole: dict[str, Any]) -> str:
    """As Go writes JSON: what could be taken for HTML or ends a line in JavaScript is escaped."""
    text = json.dumps(whole, indent=2, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _as_before(path, temporary)
        os.replace(temporary, path)  # noqa: PTH105 — both are plain names here
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _as_before(path: Path, temporary: str) -> None:
    """Give the new file the mode and owner of the one that it replaces, or those of any new file."""
    try:
        before = path.stat()
    except FileNotFoundError:
        mask = os.umask(0o077)
        os.umask(mask)
        os.chmod(temporary, 0o664 & ~mask)  # noqa: PTH101
        return
    os.chmod(temporary, before.st_mode & 0o777)  # noqa: PTH101
    os.chown(temporary, before.st_uid, before.st_gid)
