"""Work that a signal may end at any moment, for it is done by observation: called again, it goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

import anyio
import anyio.lowlevel
import click

from gilder.engine import handled_by

T = TypeVar("T")


async def until_stopped(work: Callable[[], Awaitable[T]]) -> T | None:
    """What the work gives; None when a signal has stopped it, which is told.

    SIGINT was answered with an empty line, and SIGTERM and SIGHUP, as of a timer, ended it without a word.
    """
    with anyio.CancelScope() as scope, _cancelled_by_signals(scope):
        done = await work()
        await anyio.lowlevel.checkpoint()
        if not scope.cancel_called:  # what was heard while the work was shielded would be lost, and builds begin
            return done
    click.echo("stopped; nothing is lost: call it again to go on", err=True)
    return None


@contextmanager
def _cancelled_by_signals(scope: anyio.CancelScope) -> Iterator[None]:
    """The first signal that asks to stop cancels the scope; the next ends the process, whatever hangs."""
    loop = asyncio.get_running_loop()
    heard = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        if heard:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        heard = True
        loop.call_soon_threadsafe(scope.cancel)

    with handled_by(hear):
        yield
