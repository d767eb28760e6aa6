"""The environment variables of scripts, as text for a shell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gilder.model.base import Delayed
from gilder.model.errors import UserError
from gilder.provision.context import ProvisionContext

IN_LINE = "%s='%s' "
"""The format of one variable before a command."""
IN_FILE = "export %s='%s'\n"
"""The format of one variable in a file of its own."""


def variables(pairs: Sequence[Delayed], env: Mapping[str, Delayed], context: ProvisionContext) -> dict[str, str]:
    """The variables for a script, sorted: the build's own, then the `pairs` (name=value), then `env`, the later ones
    winning; quotes are escaped for a single-quoted word. Raises UserError for a pair without equals sign, and for a
    text that cannot be rendered."""
    data = context.template_data()
    given = {"PACKER_BUILD_NAME": context.build, "PACKER_BUILDER_TYPE": context.builder_type}
    for pair in (text.render(data) for text in pairs):
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UserError(f"Environment variable not in format 'key=value': {pair}")
        given[name] = value
    given |= {name: value.render(data) for name, value in env.items()}
    return {name: given[name].replace("'", "'\"'\"'") for name in sorted(given)}


def joined(given: Mapping[str, str], pattern: str) -> str:
    """All variables, each in the format `pattern` (an `env_var_format`)."""
    return "".join(_formatted(pattern, name, value) for name, value in given.items())


_VERB = re.compile(r"%(?:\[(\d)\])?([sq%v])")


def _formatted(pattern: str, name: str, value: str) -> str:
    """The part of Go's formats that makes sense for two texts: %s, %v, %q, %[2]s, %%."""
    words = (name, value)
    place = 0

    def verb(match: re.Match[str]) -> str:
        nonlocal place
        if match[2] == "%":
            return "%"
        if match[1]:
            place = int(match[1]) - 1
        if not 0 <= place < len(words):
            raise UserError(f"env_var_format {pattern!r} asks for more than a name and a value")
        place += 1
        word = words[place - 1]
        return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' if match[2] == "q" else word

    return _VERB.sub(verb, pattern)
