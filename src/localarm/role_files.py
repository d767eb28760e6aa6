"""Role definitions from files, as `az role definition create` takes them: to try out what a role permits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from localarm.messages import Json
from localarm.settings import Principal, Role, Settings


class BadRole(ValueError):
    """A file is no role definition, nor a list of them."""


def with_roles(settings: Settings, files: Sequence[Path]) -> Settings:
    """The settings, with everyone holding only the roles of these files, each on its `AssignableScopes`.

    Raises:
        BadRole
    """
    if not files:
        return settings
    roles: list[Role] = []
    assignments: list[tuple[str, str]] = []
    for file in files:
        for given in _definitions(file):
            role = _role(file, given)
            roles.append(role)
            assignments += [(scope, role.name) for scope in given["AssignableScopes"]]
    principals: list[Principal] = [replace(each, roles=tuple(assignments)) for each in settings.all_principals]
    return replace(settings, roles=tuple(roles), principals=tuple(principals))


def _definitions(file: Path) -> list[Json]:
    try:
        found = json.loads(file.read_text())
    except OSError as error:
        raise BadRole(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise BadRole(f"{file} is not JSON: {error}") from error
    return found if isinstance(found, list) else [found]


def _role(file: Path, given: Json) -> Role:
    try:
        assert isinstance(given["AssignableScopes"], list)
        return Role(given["Name"], tuple(given["Actions"]), tuple(given.get("NotActions", ())))
    except (KeyError, TypeError, AssertionError) as error:
        message = f"{file} is not a role definition: it needs Name, Actions and AssignableScopes"
        raise BadRole(message) from error
