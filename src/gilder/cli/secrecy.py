"""Who could read secrets besides gilder, and errors without them."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gilder.model.errors import GilderError
from gilder.model.spec import LONGEST_PATH, Auth
from gilder.runtime.redaction import Redactor
from gilder.template import Loaded
from gilder.template.secrecy import written_secrets


def open_files(loaded: Loaded, auth: Auth, templates: Mapping[str, str]) -> list[str]:
    """Warnings about files with secrets that every user of this machine may read.

    `auth` are the settled options, `templates` the texts of the templates by file.
    """
    files: dict[str, str] = {
        variable.origin: "values of sensitive variables"
        for variable in loaded.variables
        if variable.sensitive and variable.origin not in ("default", "-var")
    }
    files |= {
        variable.where.file: "values of sensitive variables"
        for variable in loaded.variables
        if variable.sensitive and variable.origin == "default" and variable.where and _is_written(variable.default)
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


def _is_written(default: str | None) -> bool:
    """Whether a default is a value, and not an expression that fetches one."""
    return bool(default) and "{{" not in (default or "")


def _is_open(file: str) -> bool:
    if len(file) > LONGEST_PATH or "\0" in file:
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
    if notes := getattr(error, "__notes__", None):
        error.__notes__ = [redactor.text(note) for note in notes]
    error.args = tuple(redactor.text(arg) if isinstance(arg, str) else arg for arg in error.args)
    if isinstance(error, GilderError):
        error.message = redactor.text(error.message)
        error.hint = error.hint and redactor.text(error.hint)
