"""Go's layouts and strftime's codes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gilder.template.go_time import go_time, rfc3339, strftime

MOMENT = datetime(2024, 3, 5, 14, 7, 9, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("20060102150405", "20240305140709"),
        ("2006-01-02T15:04:05Z07:00", "2024-03-05T14:07:09Z"),
        ("Mon Jan _2 15:04:05 MST 2006", "Tue Mar  5 14:07:09 UTC 2024"),
        ("Monday, 02-Jan-06 3:4:5pm -0700", "Tuesday, 05-Mar-24 2:7:9pm +0000"),
        ("05.000 05,00 05.999999999 002 __2 _2006", "09.123 09,12 09.123456 065  65 _2024"),
        ("January 1, Janet", "March 3, Janet"),
        ("03PM -07:00 -07 Z0700", "02PM +00:00 +00 Z"),
        ("nothing", "nothing"),
    ],
)
def test_layouts(layout: str, text: str) -> None:
    assert go_time(MOMENT, layout) == text


def test_other_zones_become_utc() -> None:
    assert rfc3339(MOMENT.astimezone(timezone(timedelta(hours=5)))) == "2024-03-05T14:07:09Z"


def test_strftime_keeps_unknown_codes() -> None:
    assert strftime(MOMENT, "%Y%m%d-%H%M%S%L %a %A %b %B %I%p %y %Z %z %% %Q %") == (
        "20240305-140709.123 Tue Tuesday Mar March 02PM 24 UTC +0000 % %Q %"
    )


@given(st.datetimes(min_value=datetime(1000, 1, 1)))
def test_a_moment_can_be_read_back(moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC)
    assert datetime.fromisoformat(go_time(moment, "2006-01-02T15:04:05.000000-07:00")) == moment
