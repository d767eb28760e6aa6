"""Signals that come when all builds have ended."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys
import anyio
from gilder.cli.ending import heard_out
from gilder.engine import Stopping, signals_heard

async def run():
    stopping = Stopping(lambda text: print(text, flush=True))
    with heard_out():
        async with signals_heard(stopping):
            await anyio.sleep(0)
    for _ in range(int(sys.argv[2])):
        os.kill(os.getpid(), int(sys.argv[1]))
    print("the summary", flush=True)

anyio.run(run)
"""


def ended(number: signal.Signals, times: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(int(number)), str(times)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_after_the_end_takes_neither_summary_nor_status(number: signal.Signals) -> None:
    for times in (1, 2):
        process = ended(number, times)
        assert (process.returncode, process.stdout) == (0, "the summary\n"), process.stderr


def test_the_third_ends_it_all_the_same() -> None:
    assert ended(signal.SIGTERM, 3).returncode == -signal.SIGTERM
