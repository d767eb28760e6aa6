"""What of a run is secret, and who could read it besides gilder."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from gilder.model.errors import GilderError
from gilder.model.spec import Auth, is_path
from gilder.runtime.redaction import Redactor
from gilder.template import Loaded

_SECRET_VARIABLE = re.compile(
    r"(?:(?:AZURE|ARM)_\w*(?:SECRET|PASSWORD|TOKEN|JWT|KEY|CONNECTION_STRING|_PAT)|ACTIONS_ID_TOKEN_REQUEST_TOKEN"
    r"|SYSTEM_ACCESSTOKEN)"
)
"""Environment variables whose whole name is like this hold a secret; AZURE_FEDERATED_TOKEN_FILE names a file."""
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", re.DOTALL)
_LONGEST_PATH = 4096
_WRITTEN = re.compile(
    r"""["']?(client_secret|client_cert_password|client_jwt|oidc_request_token)["']?\s*:\s*"""
    r"""(?:"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'|([^\s#,{}\[\]"'][^\n#,}]*))"""
)
"""An option with a secret and its value, in JSON or YAML."""


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
    """The secrets among environment variables, by name."""
    return {name: value for name, value in environment.items() if value and _SECRET_VARIABLE.fullmatch(name)}


def login_secrets(auth: Auth) -> dict[str, str]:
    """The secrets of these (settled) options, also what the files hold that they name: an assertion, keys in PEM."""
    found = dict(auth.secrets)
    if assertion := _content(auth.client_jwt or ""):
        found["the file of client_jwt"] = assertion.strip()
    for number, key in enumerate(_PRIVATE_KEY.findall(_content(auth.client_cert_path or ""))):
        found[f"private key {number + 1} of client_cert_path"] = key.strip()
    return found


def _content(file: str) -> str:
    """The text of a file; "" when there is none that can be read (whoever needs it says so)."""
    if len(file) > _LONGEST_PATH or "\0" in file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def written_secrets(text: str) -> list[str]:
    """The secrets that stand in a template itself, as its text spells them: read before the template is understood."""
    found = [
        (match[1], next(value for value in match.groups()[1:] if value is not None).strip())
        for match in _WRITTEN.finditer(text)
    ]
    # A value with {{ is an expression: what it stands for is secret, not the expression. Nor is the path of a file.
    return [value for name, value in found if "{{" not in value and not (name == "client_jwt" and is_path(value))]


def mistakes_redactor(loaded: Loaded, texts: Iterable[str], environment: Mapping[str, str]) -> Redactor:
    """Hides what is known to be secret in a template with mistakes: messages quote its lines, and values of variables."""
    named = secrets_of(loaded, environment)
    written = {f"written secret {number}": value for number, value in enumerate(_spelled(texts))}
    return Redactor.of(named | written)[0]


def _spelled(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for value in written_secrets(text):
            yield value
            with suppress(ValueError):
                yield str(json.loads(f'"{value}"'))


def open_files(loaded: Loaded, auth: Auth, templates: Mapping[str, str]) -> list[str]:
    """Warnings about files with secrets that every user of this machine may read.

    `auth` are the settled options, `templates` the texts of the templates by file.
    """
    files: dict[str, str] = {
        variable.origin: "values of sensitive variables"
        for variable in loaded.variables
        if variable.sensitive and variable.origin not in ("default", "-var")
    }
    files |= {file: "secrets of the login" for file, text in templates.items() if written_secrets(text)}
    for options in (auth, *(spec.auth for spec in loaded.builds)):
        for option in ("client_cert_path", "client_jwt"):
            if value := getattr(options, option):
                files[value] = option
    return [
        f"{file} ({what}) can be read by every user of this machine: chmod 600 {file}"
        for file, what in files.items()
        if _is_open(file)
    ]


def _is_open(file: str) -> bool:
    if len(file) > _LONGEST_PATH or "\0" in file:
        return False  # a token, not a path
    try:
        mode = Path(file).stat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & stat.S_IROTH)


@contextmanager
def errors_hidden(redactor: Redactor) -> Iterator[None]:
    """Take secrets out of every error that leaves the block."""
    try:
        yield
    except BaseException as error:
        _hide(error, redactor)
        raise


def _hide(error: BaseException | None, redactor: Redactor) -> None:
    if error is None:
        return
    _hide(error.__cause__ or error.__context__, redactor)
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            _hide(member, redactor)
        return
    error.args = tuple(redactor.text(arg) if isinstance(arg, str) else arg for arg in error.args)
    if isinstance(error, GilderError):
        error.message = redactor.text(error.message)
        error.hint = error.hint and redactor.text(error.hint)
