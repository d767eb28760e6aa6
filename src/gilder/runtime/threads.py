"""Asking the kernel in a thread: what may hang there for ever must hold up neither its build nor the end of the program."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def abandonable(work: Callable[[], T]) -> T:
    """What `work` returns or raises, from a thread that is left behind when this is cancelled: only for what does no harm
    when it ends later, or never.

    A daemon thread of its own, and not one of anyio's: for those Python waits when it ends, and forty are all there are.
    """
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # from here on a cancellation of who waits leaves it alone

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 — raised where it is waited for
            done.set_exception(error)

    Thread(target=run, name="gilder.runtime.threads", daemon=True).start()
    return await asyncio.wrap_future(done)
