"""The full log of each build, in a file of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Self, TextIO

from gilder.cli.plain import plain_lines
from gilder.model.errors import UserError
from gilder.model.events import Event, Finished, OutputLine, StageFinished

_MOST_OPEN = 200
"""Log files open at once; far below the usual limit of 1024 for a process, of which devices and programs need some."""


class LogFiles:
    """A sink that writes `FOLDER/BUILD.log`; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, TextIO] = {}
        """Those open at the moment: of builds at work, the one opened longest ago first."""
        self._failed_at: dict[str, int] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"no logs can be written to {folder}: {error}", hint="choose another with --log-dir"
            ) from error

    def path(self, build: str) -> Path:
        """The log file of a build."""
        return log_file(self.folder, build)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            with suppress(OSError):  # a full disk, which `Together` has told of; it is closed all the same
                file.close()

    def __call__(self, event: Event) -> None:
        file = self._file(event.build)
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        for line in _lines(event):
            file.write(f"{now} {line}\n")
        file.flush()
        if isinstance(event, StageFinished) and not event.ok:
            self._failed_at.setdefault(event.build, file.tell())
        if isinstance(event, Finished):
            self._files.pop(event.build).close()

    def _file(self, build: str) -> TextIO:
        file = self._files.get(build)
        if file is None:
            if len(self._files) >= _MOST_OPEN:
                self._files.pop(next(iter(self._files))).close()
            file = self._files[build] = self.path(build).open("a", encoding="utf-8", errors="replace")
        return file

    def before_failure(self, build: str, count: int) -> list[str]:
        """The last lines of a build's log, without their times; of one that failed, the lines before its clean-up."""
        try:
            with self.path(build).open("rb") as file:
                end = self._failed_at.get(build) or file.seek(0, os.SEEK_END)
                start = max(0, end - count * _LONG)
                file.seek(start)
                lines = file.read(end - start).decode(errors="replace").splitlines()
        except OSError:
            return []
        return [line.partition(" ")[2] for line in lines[-count:]]

    def lines(self, build: str, most: int) -> Iterator[str]:
        """A build's log, line by line; when it is longer than `most`, its end, after a line that says so."""
        path = self.path(build)
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                total = sum(1 for _ in file)
                file.seek(0)
                if total > most:
                    yield f"… {total - most} lines are left out here; all are in {path}"
                for line in islice(file, max(0, total - most), None):
                    yield line.rstrip("\n")
        except OSError as error:
            yield f"{path} cannot be read: {error}"


_LONG = 4096
"""Bytes allowed for a line of a tail, so that a long log need not be read whole."""


def log_file(folder: Path, build: str) -> Path:
    """Where the log of a build is, in the folder of its run. Names that differ have files that differ."""
    name = re.sub(r"[^0-9A-Za-z_.-]+", "-", build)[:200]
    if name != build:
        name = f"{name}-{sha256(build.encode(errors='surrogatepass')).hexdigest()[:8]}"
    return folder / f"{name}.log"


def _lines(event: Event) -> list[str]:
    match event:
        case OutputLine():
            return [f"{'|' if event.stream == 'stdout' else '!'} {event.text}"]
        case StageFinished():
            return [f"--- {event.stage} {'took' if event.ok else 'FAILED after'} {event.seconds:.3f} s"]
        case Finished():
            return [*plain_lines(event), *event.text.splitlines()]
        case _:
            return plain_lines(event)
