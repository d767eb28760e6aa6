"""The situations of the straits sweep: full disks, dead devices, stuck processes, meddling outsiders."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.sweeps.ground import LINKS, Ground, below

FREEZER = Path("/sys/fs/cgroup/freezer")
_CELL = FREEZER / "gilder-sweep"
VOLUMES = "mnt/packer-amazon-chroot-volumes"


@dataclass(frozen=True)
class Scene:
    """What may be meddled with while the first build waits."""

    place: Ground
    gilder: int
    """Its process number."""

    def process(self, pattern: str) -> int:
        """The process below gilder whose command line matches."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for pid in sorted(below(self.gilder)):
                with suppress(OSError):
                    words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if re.search(pattern, words):
                        return pid
            time.sleep(0.02)
        raise AssertionError(f"gilder has no process {pattern}")

    def root(self) -> Path:
        """A way to the first build's mounted root."""
        (found,) = Path(f"/proc/{self.keeper()}/root/{VOLUMES}").glob("[!.]*")  # scripts of this machine are there too
        return found

    def keeper(self) -> int:
        """Process 1 of the first build's sandbox."""
        return self.process(r"^\S+ -I -S \S+keeper\.py keep \S+ \S+-0 \S+ $")


Around = Callable[[Ground], AbstractContextManager[object]]
Meanwhile = Callable[[Scene], None]


@dataclass(frozen=True)
class Situation:
    """One situation. It counts only if the run says `says` (a regular expression).

    `guest` and `local` are shell lines for the first build, in the guest and then on this machine, where `$READY` waits
    until `meanwhile` was done. `around` holds while gilder runs, `cure` ends afterwards what the situation has left.
    """

    name: str
    says: str
    ends: str = "failed built"
    """How the two builds end."""
    guest: str = ":"
    local: str = ":"
    options: Callable[[Ground], dict[str, Any]] = lambda place: {}
    tuned: tuple[str, ...] = ()
    """For `tests.sweeps.tuned`: figures of gilder that would take a sweep too long."""
    before_world: Callable[[Path], AbstractContextManager[object]] | None = None
    """Holds around a cloud of its own, whose folder it is given."""
    around: Around = lambda place: nullcontext()
    meanwhile: Meanwhile | None = None
    cure: Callable[[Ground], None] | None = None
    bound: float = 60.0
    """Seconds that the run may take."""
    slow: bool = False
    needs: Path = Path("/")
    """What this machine must have for it."""


# Full


@contextmanager
def _small(at: Path, size: str) -> Iterator[Path]:
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def _fill(at: Path) -> None:
    with suppress(OSError), (at / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))


def _small_logs(place: Ground) -> AbstractContextManager[object]:
    return _small(place.program.logs, "64k")


@contextmanager
def _full_temp(place: Ground) -> Iterator[None]:
    before = os.environ.get("TMPDIR")
    with _small(place.folder / "small", "64k") as at:
        _fill(at)
        os.environ["TMPDIR"] = str(at)
        try:
            yield
        finally:
            os.environ.pop("TMPDIR")
            if before is not None:
                os.environ["TMPDIR"] = before


@contextmanager
def _small_journal(place: Ground) -> Iterator[None]:
    with _small(place.folder / "small", "256k") as at:
        place.journals = at
        try:
            yield
        finally:
            place.journals = None


def _fill_journal(scene: Scene) -> None:
    _fill(scene.place.folder / "small")


def _free_journal(place: Ground) -> None:
    (place.folder / "small" / "fill").unlink()


def _small_blobs(folder: Path) -> AbstractContextManager[object]:
    return _small(folder / "cloud" / "blobs", "100m")


FULL = (
    Situation("the guest's disk gets full", "status 1", guest="cat /dev/zero > /fill"),
    Situation(
        "the guest's disk is full and nobody minds", "2 built", "built built", guest="cat /dev/zero > /fill || :"
    ),
    Situation(
        "the logs do not fit on their disk", "No space left", "built built", guest="seq 9999", around=_small_logs
    ),
    Situation("nothing fits into $TMPDIR", "2 built", "built built", around=_full_temp),
    Situation(
        "the journal's disk gets full",
        "the journal cannot be written",
        "failed (built|failed)",
        local="$READY",
        around=_small_journal,
        meanwhile=_fill_journal,
        cure=_free_journal,
    ),
    Situation(
        "writes to the disk fail (EIO)",
        "not everything was written|Read-only file system|Input/output error",
        "failed (built|failed)",
        # Quickly, so that the kernel notices only when gilder unmounts.
        guest="dd if=/dev/zero of=/fill bs=1M count=150",
        options=lambda place: {"os_disk_size_gb": 1, "grow_root": True},
        before_world=_small_blobs,
    ),
)

# Processes


def _freeze(scene: Scene) -> None:
    _CELL.mkdir()
    (_CELL / "cgroup.procs").write_text(str(scene.process(r"^sleep 7777 $")))
    (_CELL / "freezer.state").write_text("FROZEN")


def _thaw(place: Ground) -> None:
    (_CELL / "freezer.state").write_text("THAWED")
    deadline = time.monotonic() + 10
    while (_CELL / "cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    _CELL.rmdir()


_HELD: list[int] = []


def _hold(scene: Scene) -> None:
    _HELD.append(os.open(scene.root() / "etc", os.O_RDONLY))


def _let_go(place: Ground) -> None:
    while _HELD:
        os.close(_HELD.pop())


PROCESSES = (
    Situation("a provisioner is killed (out of memory)", "SIGKILL|signal 9", guest="kill -KILL $$"),
    Situation(
        "the sandbox's first process is killed",
        "SIGKILL|signal 9",
        local="$READY",
        meanwhile=lambda scene: os.kill(scene.keeper(), signal.SIGKILL),
    ),
    Situation(
        "a daemon heeds no TERM and forks",
        "Ended what the provisioners left running",
        "built built",
        guest="sh -c 'trap \"\" TERM; while :; do sleep 1; done' >/dev/null 2>&1 &",
    ),
    Situation(
        "a daemon waits in the kernel (frozen)",
        "cannot be ended",
        guest="sleep 7777 >/dev/null 2>&1 &",
        local="$READY",
        meanwhile=_freeze,
        cure=_thaw,
        bound=400,
        slow=True,
        needs=FREEZER,
    ),
    Situation("an outsider holds the mounted root", "in use by python", local="$READY", meanwhile=_hold, cure=_let_go),
)

# Mounts


def _fixed(place: Ground) -> dict[str, Any]:
    return {"mount_path": f"{place.folder}/fixed/{{{{.Device}}}}"}


def _remove_mount_point(scene: Scene, *, hold: bool) -> None:
    (at,) = (scene.place.folder / "fixed").iterdir()
    if hold:
        _HELD.append(os.open(f"/proc/{scene.keeper()}/root{at}/etc", os.O_RDONLY))
    at.rmdir()


MOUNTS = (
    Situation(
        "the guest unmounts what it was given and mounts more",
        "2 built",
        "built built",
        guest="umount /dev/pts; umount -l /sys; mkdir -p /a; mount -t tmpfs a /a; mount --bind / /a; cd /a; sleep 600 &",
    ),
    Situation(
        "the mount point is removed",
        "No such file or directory",
        options=_fixed,
        local="$READY",
        meanwhile=partial(_remove_mount_point, hold=False),
    ),
    Situation(
        "the mount point is removed, and an outsider holds the root",
        "No such file or directory",
        options=_fixed,
        local="$READY",
        meanwhile=partial(_remove_mount_point, hold=True),
        cure=_let_go,
    ),
    Situation(
        "the root is unmounted lazily, and an outsider holds it",
        "in use",
        options=lambda place: {"pre_unmount_commands": ["umount -R -l {{.MountPath}}; mkdir -p {{.MountPath}}"]},
        local="$READY",
        meanwhile=_hold,
        cure=_let_go,
    ),
)

# Devices

_IMPATIENT = ("gilder.slots.slot:APPEARING=4", "gilder.slots.writer:_VANISHING=1")


@contextmanager
def _fault(place: Ground, what: str) -> Iterator[None]:
    fault = f'{{"what": "{what}", "method": "POST", "kind": "virtualmachines/attachdetachdatadisks", "seconds": 3}}'
    place.program.localarm("faults", "add", fault)
    try:
        yield
    finally:
        place.program.localarm("faults", "clear")


@contextmanager
def _foreign(place: Ground) -> Iterator[str]:
    """A loop device of somebody else, whose content must stay."""
    file = place.folder / "foreign"
    file.write_bytes(b"foreign " * 2**20)
    command = ["losetup", "--find", "--show", str(file)]
    device = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    try:
        yield device
        assert file.read_bytes() == b"foreign " * 2**20, "the disk of somebody else was written"
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@contextmanager
def _stale(place: Ground) -> Iterator[None]:
    """LUN 0 shows a device that the VM does not list."""
    with _foreign(place) as device:
        link = LINKS / "scsi1" / "lun0"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(device)
        try:
            yield
        finally:
            link.unlink()


@contextmanager
def _another(place: Ground) -> Iterator[None]:
    """At LUN 0, once the VM lists a disk there, a device shows that is another."""
    link = LINKS / "scsi1" / "lun0"
    over = threading.Event()

    def swap(device: str) -> None:
        while not over.wait(0.05):
            (machine,) = (r for r in place.resources() if r.kind == "virtualmachines")
            if any(disk["lun"] == 0 for disk in machine.properties["storageProfile"].get("dataDisks", [])):
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(device)
                return

    with _foreign(place) as device, _fault(place, "device-never"):
        swapper = threading.Thread(target=swap, args=(device,))
        swapper.start()
        try:
            yield
        finally:
            over.set()
            swapper.join()
            link.unlink(missing_ok=True)


DEVICES = (
    Situation("a device comes late", "2 built", "built built", around=partial(_fault, what="device-late")),
    Situation(
        "a device never appears",
        "no device appeared within 4 s",
        "failed failed",
        around=partial(_fault, what="device-never"),
        tuned=_IMPATIENT,
    ),
    Situation(
        "another device appears",
        "has 8388608 bytes",
        "failed failed",
        around=_another,
        tuned=_IMPATIENT,
        cure=lambda place: (LINKS / "scsi1/lun0").unlink(),
    ),
    Situation("a LUN shows an old device", "2 built", "built built", around=_stale),
)

SITUATIONS = (*FULL, *PROCESSES, *MOUNTS, *DEVICES)
