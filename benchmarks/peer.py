"""The same images by real Packer (1.6.6 is the last with azure-chroot built in), one at a time: in parallel it fails."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.strangers.conftest import opened

from benchmarks.cloud import matrix_template


def packer_figures(names: list[str], latency: str, size: str, writes: str) -> dict[str, Any]:
    """What Packer does with these images: wall seconds of the whole run, its exit status, the images that are there, and
    what it said of each build that failed.

    `writes` is what a write to the VM meets while another runs. Packer does not wait for the end of its own attach before
    it asks for the detach, so where that is refused (as with `refuse`) and the work in the chroot is shorter than the rest
    of the attach, every build fails before there is an image.
    """
    if shutil.which("packer") is None:
        sys.exit("error: --peer packer needs Debian's package packer")
    options = ("--latency", latency, "--throttle", "on", "--vm-size", size, "--concurrent-writes", writes)
    with tempfile.TemporaryDirectory(prefix="peer-") as folder, opened(Path(folder), *options) as place:
        template = Path(folder) / "template.json"
        template.write_text(json.dumps(matrix_template(names, gallery=False)))
        start = time.perf_counter()
        ended = place.run("packer", "build", "-color=false", "-parallel-builds=1", str(template), timeout=7200)
        wall = time.perf_counter() - start
        return {
            "packer_s": round(wall, 2),
            "packer_builds": len(names),
            "packer_exit": ended.status,
            "packer_images": place.inventory().get("images", 0),
            "packer_failures": _failures(ended.out),
            "packer_concurrent_writes": writes,
            "packer_vm_writes": sum(changes_vm(request) for request in place.asked("audit")),
        }


def _failures(output: str) -> dict[str, int]:
    """The errors of Packer's summary, without the ids in them, and how many builds ended with each."""
    errors = re.findall(r"^--> \S+: (Error .*|.*[Ff]ail.*|.*error.*)$", output, re.MULTILINE)
    found: dict[str, int] = {}
    for error in errors:
        text = re.sub(r'"/subscriptions/[^"]*"', "the disk", error)[:300]
        found[text] = found.get(text, 0) + 1
    return found


def changes_vm(request: dict[str, Any]) -> bool:
    """Whether a request of the audit changed the disks of a VM: by attachDetachDataDisks, or by an update of the VM."""
    method, path = request["method"], str(request["path"]).lower()
    changes = method == "PUT" or (method == "POST" and "/attachdetachdatadisks" in path)
    return changes and "/virtualmachines/" in path and int(request["status"]) < 400
