"""What of a template is secret: what it means, and what only its text tells as long as it has mistakes."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import unquote

from gilder.model.spec import is_path
from gilder.runtime.redaction import Redactor
from gilder.template.loaded import Loaded

_SECRET_VARIABLE = re.compile(
    r"(?:(?:AZURE|ARM)_\w*(?:SECRET|PASSWORD|TOKEN|JWT|KEY|CONNECTION_STRING|_PAT)|ACTIONS_ID_TOKEN_REQUEST_TOKEN"
    r"|SYSTEM_ACCESSTOKEN|VAULT_TOKEN|CONSUL_HTTP_TOKEN)"
)
"""Environment variables whose whole name is like this hold a secret; AZURE_FEDERATED_TOKEN_FILE names a file."""
_PROXY = re.compile(r"(?:https?|ftp|all)_proxy", re.IGNORECASE)
_PASSWORD = re.compile(r"(?:[\w+.-]+://)?[^:/@]*:(.+)@[^@]*")
"""Where a proxy's address has one; guests are given these variables."""
_VALUE = (
    r"""\s*:\s*(?:"((?:[^"\\\n]|\\.)*)"?|'([^'\n]*)'?|[\[{]([^\]}]*)"""
    r"""|([^\s#,{}\[\]"'][^\n#,}]*))"""
)
"""After the name of something: its value in JSON or YAML, be it left open, a list, or an object."""
_OPTIONS = ("client_secret", "client_cert_password", "client_jwt", "oidc_request_token")
_MARKED = re.compile(r""""sensitive-variables"\s*:\s*\[([^\]]*)""")
_MARKED_IN_YAML = re.compile(r"""\bsensitive["']?\s*:\s*true""", re.IGNORECASE)
_NOTHING = ("null", "true", "false", "~")


def secrets_of(loaded: Loaded, environment: Mapping[str, str]) -> dict[str, str]:
    """The secrets of a run, by a name to show: options, sensitive variables, environment variables of Azure tools."""
    found = environment_secrets(environment)
    for number, value in enumerate(loaded.sensitive):
        found[f"sensitive variable {number + 1}"] = value
    for spec in loaded.builds:
        found |= {f"{option} of {spec.name}": value for option, value in spec.auth.secrets.items()}
        for number, value in enumerate(spec.sensitive):
            found[f"sensitive value {number + 1} of {spec.name}"] = value
    # One warning for each value that is too short, not one for each build.
    return {name: value for value, name in {value: name for name, value in reversed(found.items())}.items() if value}


def environment_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The secrets among environment variables, and the passwords of proxies in them, by name."""
    found = {name: value for name, value in environment.items() if value and _SECRET_VARIABLE.fullmatch(name)}
    for name, value in environment.items():
        if _PROXY.fullmatch(name) and (match := _PASSWORD.fullmatch(value)):
            found |= {f"the password in {name}": match[1], f"the password in {name}, decoded": unquote(match[1])}
    return found


def written_secrets(text: str) -> list[str]:
    """The secrets that stand in a template itself, as its text spells them: read before the template is understood."""
    # The path of a file is none.
    return [value for name, value in _written(_OPTIONS, text) if not (name == "client_jwt" and is_path(value))]


def mistakes_redactor(loaded: Loaded, texts: Collection[str], environment: Mapping[str, str]) -> Redactor:
    """Hides what is known to be secret in a template with mistakes: messages quote its lines, and values of variables.

    `texts` are those of the template and of the files with variables.
    """
    named = secrets_of(loaded, environment)
    marked = {variable.name for variable in loaded.variables if variable.sensitive}
    if not loaded.ok:  # what has no value for its mistakes, or could not be read at all, still stands in the text
        marked.update(name for text in texts for name in _marked(text))
    written = {f"written secret {number}": value for number, value in enumerate(_spelled(texts, marked))}
    return Redactor.of(named | written)[0]


def _spelled(texts: Iterable[str], marked: Collection[str]) -> Iterator[str]:
    for text in texts:
        for value in (*written_secrets(text), *(value for _, value in _written(marked, text))):
            yield value
            with suppress(ValueError):
                yield str(json.loads(f'"{value}"'))


def _marked(text: str) -> Iterator[str]:
    """The names of sensitive variables, as far as the text of a template tells."""
    for match in _MARKED.finditer(text):
        yield from re.findall(r'"([^"\n]+)"', match[1])
    if _MARKED_IN_YAML.search(text):
        yield "default"  # of its variables: those that are not sensitive are not missed in a message about a mistake


def _written(names: Collection[str], text: str) -> Iterator[tuple[str, str]]:
    """What a text gives these names, as it spells it, with the name."""
    if not names:
        return
    named = re.compile(rf"""["']?\b({"|".join(map(re.escape, names))})["']?{_VALUE}""")
    for match in named.finditer(text):
        name, quoted, single, several, bare = match.groups()
        values = re.split(r"""[\s,:\[{"']+""", several) if several is not None else [quoted or single or bare or ""]
        for value in (value.strip() for value in values):
            # A value with {{ is an expression: what it stands for is secret, not the expression.
            if value and "{{" not in value and value not in _NOTHING:
                yield name, value
