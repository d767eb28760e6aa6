"""gilder builds many Azure VM images at once on one Azure VM, by the chroot method."""

__version__ = "0.1.0"
