"""How the end of a program is learnt of."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, threading, warnings
import anyio
from gilder.cli.watching import watch_programs_by_pidfd
from gilder.host.run import output, start, end

async def main():
    shown = await output(["echo", "heard"])
    sleeper = await start(["sleep", "60"], ["sleep"])
    threads = [thread.name for thread in threading.enumerate() if "waitpid" in thread.name]
    await end(sleeper)
    print(shown, threads, sleeper.returncode)

watch_programs_by_pidfd()
anyio.run(main)
"""


def test_no_thread_waits_for_a_program() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("heard [] -15\n", "")
