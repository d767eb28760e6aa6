"""docs/cli.md names every command, option, event, field and stage; nothing that is not there."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import click

from gilder.cli.build import command as build
from gilder.cli.eventlog import as_json
from gilder.cli.main import LazyGroup
from gilder.model import events
from gilder.model.events import Event, Stage

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def kind(event: type[Event]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", event.__name__).lower()


def test_every_option_of_build_has_a_row() -> None:
    found = set(re.findall(r"^\| `(--[a-z-]+)", TEXT, re.MULTILINE))
    assert found == {param.opts[0] for param in build.params if isinstance(param, click.Option)}


def test_every_command_is_listed() -> None:
    listed = re.findall(r"^gilder (\w+)", TEXT, re.MULTILINE)
    assert sorted(listed) == sorted(LazyGroup.modules)


def test_every_event_and_field_is_described() -> None:
    rows = {
        row[0]: set(re.findall(r"`([a-z]+)`", re.sub(r"\([^)]*\)", "", row[1])))
        for row in re.findall(r"^\| `([a-z-]+)` \| (`.*) \|$", TEXT, re.MULTILINE)
    }
    known = {value for value in vars(events).values() if isinstance(value, type) and issubclass(value, Event)} - {Event}
    for event in known:
        assert rows[kind(event)] == {field.name for field in fields(event)} - {"build", "at"}
    example = events.Said(build="a", at=1, text="x")
    assert as_json(example, 0)["type"] == "said"


def test_every_stage_is_named() -> None:
    sentence = TEXT[TEXT.index("`stage` is one of") : TEXT.index("Readers should")]
    assert re.findall(r"`([a-z-]+)`", sentence)[1:] == [stage.name.lower().replace("_", "-") for stage in Stage]
