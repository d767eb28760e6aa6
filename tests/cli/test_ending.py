"""Signals that come when all builds have ended."""

import signal
import subprocess
import sys

import pytest

from gilder.cli.session import incomplete
from gilder.model.errors import HostError, JournalDamaged

PROGRAM = """
import os, signal, sys
import anyio
from gilder.cli.ending import hear_out
from gilder.engine import Stopping, signals_heard

async def run():
    stopping = Stopping(lambda text: print(text, flush=True))
    hear_out()
    with signals_heard(stopping):
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


GAPLESS = """
import signal, sys
import anyio
from gilder.cli.ending import hear_out
from gilder.engine import STOPPING, Stopping, signals_heard

unheard = set()

def look(frame, event, argument):
    unheard.update(n.name for n in STOPPING if signal.getsignal(n) in (signal.SIG_DFL, signal.default_int_handler))

async def run():
    hear_out()
    sys.setprofile(look)
    with signals_heard(Stopping(print)):
        await anyio.sleep(0.01)
    await anyio.sleep(0)
    sys.setprofile(None)

anyio.run(run)
print(sorted(unheard))
"""


def test_there_is_no_moment_in_which_a_signal_kills() -> None:
    """From when the builds begin until the process ends, whatever function is just called."""
    done = subprocess.run([sys.executable, "-c", GAPLESS], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


IGNORING = """
import os, signal, sys
import anyio
from gilder.cli.ending import hear_out
from gilder.engine import Stopping, signals_heard

async def run():
    stopping = Stopping(lambda text: print(text, flush=True))
    hear_out()
    with signals_heard(stopping):
        for number in (signal.SIGHUP, signal.SIGINT):
            os.kill(os.getpid(), number)
        await anyio.sleep(0.01)
        print(stopping.signals, "signals", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        await anyio.sleep(0.01)
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGHUP)

anyio.run(run)
"""


def test_what_it_was_started_to_ignore_stays_ignored() -> None:
    """As by nohup, and as a shell without job control starts what runs in its background."""
    command = ["sh", "-c", 'trap "" HUP INT; exec "$@"', "sh", sys.executable, "-c", IGNORING]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == ["0 signals", "SIGTERM: stopping, and cleaning up; once more to hurry"]


LEAVING = """
import sys
import anyio
from gilder.engine import Stopping
from gilder.host.sandbox import sandbox
from gilder.runtime.release import MemoryLedger, Release, releasing

async def run():
    ledger = MemoryLedger()
    stopping = Stopping(lambda text: print(text, flush=True), recovery="gilder recover r")
    stopping.watch(ledger)
    async with sandbox("tiny", ledger) as box:
        for words in sys.argv[1:]:
            how = Release(*words.split(","), anyio.lowlevel.checkpoint, 1, goes_with="" if "group" in words else str(box))
            await releasing(ledger, how).__aenter__()
        for _ in range(3):
            stopping.heard("SIGINT")

anyio.run(run)
"""


def left_behind(*things: str) -> list[str]:
    command = [sys.executable, "-c", LEAVING, *things]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    return done.stdout.splitlines()


@pytest.mark.root
def test_leaving_at_once_names_only_what_outlives_the_process() -> None:
    """Sandboxes, mounts and processes were named too, with commands that failed a moment later."""
    inside = ["mount,/dev/x at /m,umount -R /m", "processes,in /m,kill -KILL -1"]
    assert left_behind(*inside) == ["SIGINT: leaving; nothing is left behind"]
    assert left_behind(*inside, "volume group,vg on /dev/x,vgchange -an vg") == [
        "SIGINT: leaving; this is left behind:",
        "  volume group vg on /dev/x; remove it with: vgchange -an vg",
        "  all of it: gilder recover r",
    ]


def test_a_run_whose_end_could_not_be_noted_says_what_that_asks_for() -> None:
    """All was built and the exit status 0, and nobody knew that a recovery was needed."""
    full = HostError("the journal cannot be written: database or disk is full", hint="free some space on its disk")
    told = incomplete(full, "gilder recover r1")
    assert told.startswith(f"{full.message}: the record of this run is incomplete; free some space")
    assert told.endswith("complete it with: gilder recover r1")
    damaged = incomplete(JournalDamaged("journal.sqlite", "malformed"), "gilder recover r1")
    assert "gilder gc" in damaged
    assert "gilder recover" not in damaged


STOPPED = """
import os, signal, sys
import anyio
from gilder.cli.stopping import until_stopped

async def work():
    os.kill(os.getpid(), int(sys.argv[1]))
    try:
        await anyio.sleep(60)
    finally:
        print("done so far", flush=True)
        for _ in range(int(sys.argv[2]) - 1):
            os.kill(os.getpid(), int(sys.argv[1]))

print(anyio.run(until_stopped, work))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_recovery_and_collection_end_with_a_word(number: signal.Signals) -> None:
    """SIGINT was answered with an empty line, and the others with nothing at all."""
    command = [sys.executable, "-c", STOPPED, str(int(number))]
    once = subprocess.run([*command, "1"], capture_output=True, text=True, timeout=60, check=False)
    assert (once.returncode, once.stdout) == (0, "done so far\nNone\n")
    assert once.stderr == "stopped; nothing is lost: call it again to go on\n"
    twice = subprocess.run([*command, "2"], capture_output=True, text=True, timeout=60, check=False)
    assert (twice.returncode, twice.stdout, twice.stderr) == (-number, "done so far\n", "")


UNHEARD = """
import io, os, signal, sys
from gilder.cli import main

class Interrupted(io.StringIO):
    def read(self, size=-1):
        os.kill(os.getpid(), signal.SIGINT)
        return ""

sys.stdin = Interrupted()
sys.argv = ["gilder", "validate", "-"]
main()
"""


def test_a_command_that_only_looks_is_stopped_with_a_word_too() -> None:
    """Ctrl-C there, or before the builds begin, left an empty line."""
    done = subprocess.run([sys.executable, "-c", UNHEARD], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.strip()) == (1, "stopped")
