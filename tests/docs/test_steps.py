"""docs/provisioners.md: whole and current."""

from __future__ import annotations

from tests.docs.steps import FILE, page


def test_the_page_is_current() -> None:
    assert FILE.read_text() == page(), "run: python -m tests.docs.steps"
