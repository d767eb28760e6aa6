"""The two halves of the tests, and what may be skipped: in continuous integration nothing for want of what it must have."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Generator

import pytest

# A shell has what it starts in the background ignore it, and gilder leaves an ignored signal alone: the tests of signals
# would wait for ever in the half that tests/run.sh starts so.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # the same of what nohup starts; see tests/nohup.py
    signal.signal(signal.SIGHUP, lambda number, frame: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--half", choices=("pure", "devices"), help="only tests that make no devices, or only those that do"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    half = config.getoption("--half")
    if half is not None:
        kept = [item for item in items if (item.get_closest_marker("root") is None) == (half == "pure")]
        config.hook.pytest_deselected(items=list(set(items) - set(kept)))
        items[:] = kept


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
