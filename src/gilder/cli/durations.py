"""Options that are durations, written as in templates: `90s`, `1h30m`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gilder.model.deadlines import LIMITED, Deadlines

if TYPE_CHECKING:
    from gilder.model.events import Stage


class Duration(click.ParamType[float]):
    """Seconds, written with their units."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read one; ends with a usage error."""
        if isinstance(value, float):
            return value
        from gilder.template.weak import Unfit, seconds_of

        try:
            seconds = seconds_of(str(value))
        except Unfit as unfit:
            self.fail(f"{unfit}; {unfit.hint}", param, ctx)
        if seconds <= 0:
            self.fail("a deadline must be longer than nothing", param, ctx)
        return seconds


class StageDuration(click.ParamType[tuple[str, float]]):
    """`STAGE=DURATION`."""

    name = "stage=duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Read one; ends with a usage error."""
        if isinstance(value, tuple):
            return value
        stage, equals, duration = str(value).partition("=")
        if not equals:
            self.fail(f"{value} is not STAGE=DURATION, such as provision=30m", param, ctx)
        if stage not in LIMITED:
            self.fail(f'there is no stage "{stage}"; it is one of {", ".join(LIMITED)}', param, ctx)
        return stage, Duration().convert(duration, param, ctx)


def deadlines_of(build: float | None, stages: tuple[tuple[str, float], ...]) -> Deadlines:
    """The deadlines that the command line gives; of one stage the last counts."""
    found: dict[Stage, float] = {LIMITED[stage]: seconds for stage, seconds in stages}
    return Deadlines(build, found)
