"""The disks and guests of tests/host, for what happens in a guest."""

from tests.host.conftest import box, disk, guest, image, ledger, tree

__all__ = ["box", "disk", "guest", "image", "ledger", "tree"]
