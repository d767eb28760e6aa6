"""Blobs: sparse, atomic, shared by link and thawed."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localarm.blobs import BlobError, BlobStore

MIB = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def write(file: Path, offset: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        opened.write(data)


def test_an_empty_disk_takes_no_space(store: BlobStore) -> None:
    store.create("disk", 30 << 30)
    assert store.size_bytes("disk") == 30 << 30
    assert store.allocated_bytes("disk") == 0
    assert store.names() == ("disk",)


def test_a_copy_is_sparse_equal_private_and_grown(store: BlobStore) -> None:
    store.create("disk", 1 << 30)
    write(store.path("disk"), 700 * MIB, b"data")
    store.copy("disk", "copy", 2 << 30)
    assert store.size_bytes("copy") == 2 << 30
    assert store.allocated_bytes("copy") <= MIB
    write(store.path("disk"), 700 * MIB, b"new!")
    with store.path("copy").open("rb") as copy:
        copy.seek(700 * MIB)
        assert copy.read(4) == b"data"


def test_a_copy_never_shrinks(store: BlobStore) -> None:
    store.create("disk", 2 * MIB)
    with pytest.raises(BlobError, match="cannot have 1048576"):
        store.copy("disk", "copy", MIB)
    assert store.names() == ("disk",)


def test_a_copy_from_another_file_system(store: BlobStore) -> None:
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as elsewhere:
        os.truncate(elsewhere.name, 5 * MIB)
        write(Path(elsewhere.name), 3 * MIB, b"far")
        store.copy(Path(elsewhere.name), "near")
        assert store.path("near").read_bytes() == Path(elsewhere.name).read_bytes()
        assert store.allocated_bytes("near") <= MIB


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(0, 3 * MIB),
    writes=st.lists(st.tuples(st.integers(0, 3 * MIB), st.binary(min_size=1, max_size=9000)), max_size=8),
    holes=st.lists(st.tuples(st.integers(0, 700), st.integers(1, 50)), max_size=3),
)
def test_any_copy_equals_its_source(length: int, writes: list[tuple[int, bytes]], holes: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = BlobStore(Path(folder))
        store.create("disk", length)
        for offset, data in writes:
            write(store.path("disk"), offset, data)
        with store.path("disk").open("r+b") as disk:
            for page, pages in holes:
                disk.seek(page * 4096)
                disk.write(bytes(pages * 4096))
        store.copy("disk", "copy")
        assert store.path("copy").read_bytes() == store.path("disk").read_bytes()
        store.export("disk", Path(folder) / "out.raw")
        assert (Path(folder) / "out.raw").read_bytes() == store.path("disk").read_bytes()


def test_shared_blobs_are_one_file_until_thawed(store: BlobStore) -> None:
    store.create("disk", MIB)
    write(store.path("disk"), 0, b"captured")
    store.share("disk", "snapshot")
    store.share("snapshot", "image")
    assert store.path("disk").samefile(store.path("image"))
    store.thaw("disk")
    write(store.path("disk"), 0, b"rewritten")
    assert store.path("image").read_bytes()[:8] == b"captured"
    assert store.path("snapshot").samefile(store.path("image"))
    inode = store.path("disk").stat().st_ino
    store.thaw("disk")
    assert store.path("disk").stat().st_ino == inode  # nothing to do the second time


def test_data_stays_while_one_name_does(store: BlobStore) -> None:
    store.create("disk", MIB)
    write(store.path("disk"), 10, b"x")
    store.share("disk", "snapshot")
    store.delete("disk")
    assert store.path("snapshot").read_bytes()[10:11] == b"x"
    store.delete("snapshot")
    assert store.names() == ()


def test_growing(store: BlobStore) -> None:
    store.create("disk", MIB)
    store.resize("disk", 4 * MIB)
    assert store.size_bytes("disk") == 4 * MIB
    with pytest.raises(BlobError, match="cannot shrink"):
        store.resize("disk", MIB)
    store.share("disk", "snapshot")
    with pytest.raises(BlobError, match="thaw"):
        store.resize("disk", 8 * MIB)


def test_names_that_clash_lack_or_escape_are_refused(store: BlobStore) -> None:
    store.create("disk", 0)
    store.create("other", 0)
    for wrong in (
        lambda: store.create("disk", 0),
        lambda: store.copy("other", "disk"),
        lambda: store.share("other", "disk"),
        lambda: store.copy("absent", "new"),
        lambda: store.share("absent", "new"),
        lambda: store.delete("absent"),
        lambda: store.thaw("absent"),
        lambda: store.path("../disk"),
        lambda: store.path(".part-disk"),
        lambda: store.path(""),
    ):
        with pytest.raises(BlobError):
            wrong()
    assert store.names() == ("disk", "other")


def test_leftovers_are_swept_but_not_work_in_progress(store: BlobStore) -> None:
    dead = store.root / ".part-dead-1"
    dead.write_bytes(b"half")
    live = store.root / ".part-live-1"
    with live.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        BlobStore(store.root)
        assert not dead.exists()
        assert live.exists()
    BlobStore(store.root)
    assert not live.exists()


def test_a_failed_copy_leaves_nothing(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        store.copy(tmp_path, "copy")
    assert list(store.root.iterdir()) == []


def test_one_of_many_makers_wins(store: BlobStore) -> None:
    store.create("disk", MIB)
    outcomes: list[bool] = []

    def make() -> None:
        try:
            store.copy("disk", "copy")
            outcomes.append(True)
        except BlobError:
            outcomes.append(False)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 7 + [True]
    assert store.names() == ("copy", "disk")
    assert store.path("copy").stat().st_nlink == 1


def test_copying_200_mib_takes_less_than_two_seconds(store: BlobStore) -> None:
    store.create("disk", 30 << 30)
    with store.path("disk").open("r+b") as disk:
        for part in range(100):
            disk.seek(part * 100 * MIB)
            disk.write(b"\1" * (2 * MIB))
    started = time.monotonic()
    store.copy("disk", "copy")
    assert time.monotonic() - started < 2
    assert store.allocated_bytes("copy") <= 210 * MIB
