"""`python -m localarm.operations_table`: writes docs/localarm-operations.md, which says what localarm does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from inspect import cleandoc, getmembers, isfunction
from pathlib import Path
from types import ModuleType

from localarm import faults, laws, offers, quotas, sameness, values
from localarm.api_versions import api_version_known, version_published
from localarm.latency import LARGEST_RECORDED, figures
from localarm.published import TYPES
from localarm.routes import COMPUTE, RESOURCES, TAGS, Route
from localarm.throttle import GATEWAY, POLICIES, Policy

HEAD = """# What localarm does

Written by `python -m localarm.operations_table`; a test holds it to the code. Every other call is answered 501 with a
message that names it. Properties that are not listed are accepted and ignored, unless a row says that they are kept.
"""

OTHER_SERVICES = (
    (
        "GET /metadata/endpoints",
        "how a client finds the rest of the cloud; an object from api-version 2022-09-01, before a list",
    ),
    (
        "GET /metadata/instance, /metadata/instance/compute, ...",
        "instance metadata (plain HTTP), api-version 2017-03-01 and later, `format=text` on leaves",
    ),
    (
        "GET /metadata/identity/oauth2/token",
        "a token of the machine's managed identity (`resource`; `client_id` or `object_id` for a user-assigned one)",
    ),
    (
        "POST /{tenant}/oauth2/token, /{tenant}/oauth2/v2.0/token",
        "a token for a client secret, or an assertion signed with a registered certificate or by a trusted issuer",
    ),
    ("GET /{tenant}/v2.0/.well-known/openid-configuration", "discovery, for azure-identity"),
    ("GET /_localarm/violations", "what a client did that Azure lets happen but no client should do"),
    (
        "GET {scope}/providers/Microsoft.Authorization/permissions",
        "what the caller may do on a group or resource: an entry for each of its roles (`localarm/rbac.py`)",
    ),
    ("GET /_localarm/audit", "every request, with the actions that it took and the faults that struck it"),
    ("GET, POST, DELETE /_localarm/faults", "the faults that are armed; see below"),
)


def table() -> str:
    """The whole document."""
    return "\n".join([*_calls(), *_services(), *_laws(), *_limits(), *_durations(), *_faults()]) + "\n"


def main(arguments: list[str]) -> int:
    """Write the document to the file named, or to where it belongs in a checkout."""
    file = Path(arguments[0]) if arguments else Path(__file__).parents[2] / "docs" / "localarm-operations.md"
    file.write_text(table())
    return 0


def _calls() -> Iterator[str]:
    yield HEAD
    yield from ("## Resource Manager", "", "| call | what | honoured | since |", "|---|---|---|---|")
    for route in RESOURCES:
        yield _row(route, "", route.scope)
    for method, handler in TAGS.items():
        yield f"| {method} {{resource}}/providers/Microsoft.Resources/tags/default | {_first(handler)} | tags | |"
    yield from ("", "## Microsoft.Compute", "", "| call | what | honoured | since |", "|---|---|---|---|")
    for route in COMPUTE:
        yield _row(route, "providers/Microsoft.Compute/", route.scope)
    yield ""


def _row(route: Route, prefix: str, scope: str) -> str:
    place = {"group": "{group}/", "subscription": "{subscription}/", "any": "{group or subscription}/"}[scope]
    since = route.since if route.since > "2015-01-01" else ""
    return f"| {route.method} {place}{prefix}{route.path} | {_first(route.handler)} | {route.honoured} | {since} |"


def _services() -> Iterator[str]:
    yield from ("## Other services", "", "| call | what |", "|---|---|")
    for call, what in OTHER_SERVICES:
        yield f"| {call} | {what} |"
    yield ""


def _laws() -> Iterator[str]:
    yield from ("## Laws", "", "Each refuses with Azure's status and code.", "")
    for module in (laws, sameness, values, offers, quotas):
        yield from (f"### `{module.__name__.replace('.', '/')}.py`", "", _first(module), "")
        found = [each for _, each in getmembers(module, isfunction) if each.__module__ == module.__name__]
        for law in sorted(found, key=lambda each: each.__code__.co_firstlineno):
            if not law.__name__.startswith("_"):
                yield f"- `{law.__name__}`: {_first(law)}"
        yield ""
    yield from ("### `localarm/api_versions.py`", "")
    for rule in (api_version_known, version_published):
        yield f"- `{rule.__name__}`: {_first(rule)}"
    yield ""
    yield from ("| types | api-versions |", "|---|---|")
    for versions in dict.fromkeys(TYPES.values()):
        names = ", ".join(name for name, each in TYPES.items() if each is versions)
        yield f"| {names} | {', '.join(versions)} |"
    yield ""


def _limits() -> Iterator[str]:
    yield from (
        "## Limits",
        "",
        "Burst and refill per minute (`localarm/throttle.py`); on with `--latency recorded`.",
        "",
    )
    yield from ("| call | policies |", "|---|---|")
    for kind, by_gateway in GATEWAY.items():
        yield f"| all {kind}, by Resource Manager itself | {_policies(policy for _, policy in by_gateway)} |"
    for (method, path), policies in POLICIES.items():
        yield f"| {method} {path} | {_policies(policies)} |"
    yield ""


def _policies(policies: Iterable[Policy]) -> str:
    return ", ".join(f"{each.name} {each.size} + {each.refill:g} per {each.each}" for each in policies)


def _durations() -> Iterator[str]:
    yield from ("## Durations", "", figures()["source"], "", figures()["begins_before_answer"]["source"], "")
    yield from ("| operation | median | least | most | from |", "|---|---|---|---|---|")
    for kind, figure in figures()["durations"].items():
        if kind.endswith(".large"):
            continue
        values = figure["quantiles"]
        origin = f"{figure['recorded']}, n={figure['n']}" if "recorded" in figure else f"assumed: {figure['assumed']}"
        yield f"| {kind} | {values[10]} | {values[0]} | {values[-1]} | {origin} |"
    large = figures()["large"]
    for kind in large["kinds"]:
        yield f"| {kind}, of more than {LARGEST_RECORDED} GB | | | | assumed: {large['assumed']} |"
    yield ""


def _faults() -> Iterator[str]:
    yield from ("## Faults", "", "```")
    yield cleandoc(faults.Fault.__doc__ or "")  # Python 3.13 has it without its indentation
    yield "```"


def _first(what: Callable[..., object] | ModuleType) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((what.__doc__ or "").strip().partition("\n\n")[0].split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
