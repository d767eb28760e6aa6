"""Packer's spellings of options."""

from __future__ import annotations

import click
import pytest

from gilder.cli.flags import spelled_out

PARAMS: list[click.Parameter] = [
    click.Option(["--var"], multiple=True),
    click.Option(["--parallel-builds"], type=int),
    click.Option(["--force"], is_flag=True),
    click.Option(["--color/--no-color"], default=True),
    click.Argument(["template"], nargs=-1),
]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("-var a=b t.json", "--var=a=b t.json"),
        ("--var a=b t.json", "--var=a=b t.json"),
        ("-var=a=b t.json", "--var=a=b t.json"),
        ("t.json -parallel-builds=2", "t.json --parallel-builds=2"),
        ("-var -a=b", "--var=-a=b"),
        ("-force t.json", "--force t.json"),
        ("-force=false t.json", "t.json"),
        ("-color=false", "--no-color"),
        ("-color=1", "--color"),
        ("-no-color", "--no-color"),
        ("-- -force", "-- -force"),
        ("-", "-"),
        ("-h -x", "-h -x"),
        ("-nosuch=1", "--nosuch=1"),
        ("-var", "--var"),
    ],
)
def test_one_dash_or_two(given: str, expected: str) -> None:
    assert spelled_out(given.split(), PARAMS) == expected.split()


def test_a_switch_is_true_or_false() -> None:
    with pytest.raises(click.BadParameter, match="perhaps"):
        spelled_out(["-force=perhaps"], PARAMS)
