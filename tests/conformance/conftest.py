"""Fixtures of localarm's tests, for those that compare a world with the statistics of recordings."""

from tests.localarm.conftest import local, make_local

__all__ = ["local", "make_local"]
