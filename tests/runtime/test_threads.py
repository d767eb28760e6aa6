"""Threads that may be left behind: they answer, and hold up neither who waits nor the end of the program."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import anyio
import pytest

from gilder.runtime.threads import abandonable


async def test_what_is_asked_is_answered_or_raised() -> None:
    assert await abandonable(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await abandonable(lambda: 1 / 0)


async def test_however_many_hang_another_is_answered() -> None:
    answered, hanging = threading.Event(), list[int]()

    def hang() -> None:
        hanging.append(1)
        answered.wait(60)

    try:
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(abandonable, hang)
            with anyio.fail_after(10):
                while len(hanging) < 100:
                    await anyio.sleep(0.01)
                assert await abandonable(lambda: True)
            group.cancel_scope.cancel()
    finally:
        answered.set()


_PROGRAM = """
import os, anyio
from gilder.runtime.threads import abandonable

async def main():
    with anyio.move_on_after(0.2):
        await abandonable(lambda: os.read(0, 1))

anyio.run(main)
print("ended")
"""


def test_what_hangs_does_not_keep_the_program_from_ending() -> None:
    """Python waits for the threads of anyio when it ends, also for those that were abandoned."""
    reads, writes = os.pipe()
    try:
        command = [sys.executable, "-X", "dev", "-c", _PROGRAM]
        done = subprocess.run(command, stdin=reads, capture_output=True, timeout=20, check=True)
    finally:
        os.close(writes)
        os.close(reads)
    assert (done.stdout, done.stderr) == (b"ended\n", b"")
