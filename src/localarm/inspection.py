"""Looking into a world's state directory without its server."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from localarm import lease
from localarm.arm import key
from localarm.blobs import BlobError, BlobStore
from localarm.resources import Resource
from localarm.state import SqliteState

BUILT = ("images", "galleries/images/versions", "snapshots")


def status(state: Path) -> int:
    """Print whether a server runs and how many resources of each kind there are."""
    counts: dict[str, int] = {}
    for resource in _resources(state):
        counts[resource.kind] = counts.get(resource.kind, 0) + 1
    print(f"server   {'running' if _running(state) else 'not running'}")
    for kind, count in sorted(counts.items()):
        print(f"{count:>8} {kind}")
    return 0


def images(state: Path) -> int:
    """Print what was built, one a line: kind, name, disk size, id."""
    for resource in _resources(state):
        if resource.kind in BUILT:
            blob = _os_blob(resource)
            store = BlobStore(state / "blobs")
            size = store.allocated_bytes(blob) >> 20 if blob and store.exists(blob) else 0
            print(f"{resource.kind.rpartition('/')[2]:<10} {resource.name:<32} {size:>6} MiB  {resource.id}")
    return 0


def export(state: Path, wanted: str, file: Path) -> int:
    """Write the raw OS disk of what `wanted` (an id or a unique name) names to `file`."""
    found = [
        each for each in _resources(state)
        if _os_blob(each) and (each.key == key(wanted) or each.name.lower() == wanted.lower())
    ]  # fmt: skip
    exact = [each for each in found if each.key == key(wanted)]
    found = exact or found
    if len(found) != 1:
        what = "nothing is" if not found else "several are:\n  " + "\n  ".join(each.id for each in found) + "\n"
        print(f"localarm: {what} called {wanted!r} here (see `localarm images`)", file=sys.stderr)
        return 1
    try:
        BlobStore(state / "blobs").export(_os_blob(found[0]), file)
    except BlobError as error:
        print(f"localarm: {error}", file=sys.stderr)
        return 1
    return 0


def reset(state: Path, *, sure: bool) -> int:
    """Remove every resource and disk, or say which they are unless `sure`; certificates and the catalogue stay."""
    if not sure:
        images(state)
        print(f"localarm: this would remove {len(_resources(state))} resources and their disks from {state}: add --yes")
        return 0
    with _not_running(state) as free:
        if not free:
            print(f"localarm: a server runs in {state}; end it first", file=sys.stderr)
            return 1
        for file in state.glob("world.sqlite*"):
            file.unlink()
        shutil.rmtree(state / "blobs", ignore_errors=True)
    return 0


def faults(state: Path, action: str, given: list[str]) -> int:
    """List, add or clear the faults of the server that runs here, and print what is armed then."""
    found = lease.connected(state)
    if found is None:
        print(f"localarm: no server runs in {state}", file=sys.stderr)
        return 1
    connection, facts = found
    method = {"list": "GET", "add": "POST", "clear": "DELETE"}[action]
    try:
        body = json.dumps({"faults": [json.loads(each) for each in given]}).encode()
    except ValueError as error:
        print(f"localarm: a fault is a JSON object: {error}", file=sys.stderr)
        return 2
    context = ssl.create_default_context(cafile=facts["ca_file"])
    request = urllib.request.Request(facts["resource_manager"] + "/_localarm/faults", method=method, data=body)  # noqa: S310 - our own address
    with connection:
        try:
            with urllib.request.urlopen(request, context=context) as answer:  # noqa: S310
                armed = json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                print(f"localarm: {json.load(error)['error']['message']}", file=sys.stderr)
            return 1
    for each in armed:
        print(json.dumps(each))
    return 0


def _os_blob(resource: Resource) -> str:
    return resource.blob or str(resource.hidden.get("blobs", {}).get("os", ""))


def _resources(state: Path) -> list[Resource]:
    if not (state / "world.sqlite").exists():
        return []
    memory = SqliteState(state / "world.sqlite", read_only=True)
    try:
        return memory.load()[0]
    finally:
        memory.close()


def _running(state: Path) -> bool:
    with _not_running(state) as free:
        return not free


@contextlib.contextmanager
def _not_running(state: Path) -> Iterator[bool]:
    if not (state / "server.lock").exists():
        yield True
        return
    with (state / "server.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
