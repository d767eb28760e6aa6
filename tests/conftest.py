"""In continuous integration nothing is skipped for want of what it must have: root, packages, devices."""

from __future__ import annotations

import os
import re
from collections.abc import Generator

import pytest

MAY_BE_ABSENT = re.compile(r"[Pp]acker|no recordings here|this kernel")
"""In the reason of a skip: Debian 13 has no Packer to compare with, a checkout no recordings of Azure, and kernels differ."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if os.environ.get("CI") and report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if not MAY_BE_ABSENT.search(reason):
            report.outcome = "failed"
            report.longrepr = f"CI must have what this test needs; {reason}"
    return report
