"""Template files, variables and the choice of builds from the command line."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from gilder.cli.machine import machine_line
from gilder.model.diagnostics import Diagnostic, Severity, render
from gilder.model.errors import UserError
from gilder.model.vm import VmFacts
from gilder.runtime.redaction import Redactor
from gilder.template import Inputs, Loaded, clashes, differing, is_chosen, is_hcl, load, not_fetched, select, without
from gilder.template.secrecy import mistakes_redactor

_NATIVE_KEYS = re.compile(r"^(matrix|defaults|overrides)\s*:", re.MULTILINE)
"""What tells a matrix file from other YAML in the same directory."""


def template_options(function: Callable[..., Any], *, required: bool = True) -> Callable[..., Any]:
    """The argument and the options that all commands about templates share; the command gets `templates`.

    Where a template is not `required`, `templates` may have no files, and then no builds.
    """

    @click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="Set a variable. Wins over files.")
    @click.option(
        "--var-file",
        "var_files",
        multiple=True,
        metavar="FILE",
        help='Set variables from a JSON file, {"name": "value"}. A later file wins.',
    )
    @click.option(
        "--only", multiple=True, metavar="GLOB,…", help="Only builds whose name matches a glob, such as debian-*."
    )
    @click.option(
        "--except",
        "except_",
        multiple=True,
        metavar="GLOB,…",
        help="All builds, and post-processors, but those that match.",
    )
    @click.argument("template", nargs=-1, required=required)
    @functools.wraps(function)
    def command(
        *args: Any,
        template: Sequence[str],
        variables: Sequence[str],
        var_files: Sequence[str],
        only: Sequence[str],
        except_: Sequence[str],
        **others: Any,
    ) -> Any:
        inputs = Inputs(
            variables=dict(_pair(pair) for pair in variables),
            var_files=[(file, _text(file)) for file in var_files],
            fetch=not_fetched,
        )
        files = tuple(file for name in template for file in _files(name))
        _each_once(files)
        return function(*args, templates=Templates(files, inputs, only, except_), **others)

    return command


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """The text of one template."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True)
class Templates:
    """The templates of one run, to be read once offline and once knowing the VM."""

    files: tuple[TemplateFile, ...]
    inputs: Inputs
    only: Sequence[str] = ()
    except_: Sequence[str] = ()
    _told: set[Diagnostic] = field(default_factory=set, repr=False)
    """What was printed: read again, a template has the same warnings."""

    @property
    def name(self) -> str:
        """The names of all files."""
        return ", ".join(file.name for file in self.files)

    @property
    def texts(self) -> dict[str, str]:
        """What the files say, by name."""
        return {file.name: file.text for file in self.files}

    def loaded(self, vm: VmFacts | None = None) -> Loaded:
        """What they mean together, less the builds that were not asked for; of those, mistakes are but warnings.

        Without `vm`, placeholders stand for what only an Azure VM knows.
        """
        chosen = functools.partial(is_chosen, only=self.only, except_=self.except_)
        return self._chosen(self._whole(replace(self.inputs, vm=vm, chosen=chosen)))

    def described(self) -> Loaded:
        """The same as `loaded`, and no variable needs a value: what is made of one without stays as written."""
        return replace(self, inputs=replace(self.inputs, values_required=False)).loaded()

    def with_secrets(self) -> Templates:
        """The same, with the values that they take out of stores of secrets."""
        from gilder.cli.fetching import Fetcher  # here: who only looks at a template needs no network

        return replace(self, inputs=replace(self.inputs, fetch=Fetcher(self.inputs.env)))

    def structure(self) -> Loaded:
        """Nothing but the mistakes in their structure."""
        return self._whole(replace(self.inputs, syntax_only=True))

    def _whole(self, inputs: Inputs) -> Loaded:
        parts = [load(file.text, file=file.name, inputs=inputs) for file in self.files]
        return Loaded(
            names=tuple(name for part in parts for name in part.names),
            builds=tuple(spec for part in parts for spec in part.builds),
            diagnostics=tuple(dict.fromkeys(d for part in parts for d in part.diagnostics)),
            needs_vm=any(part.needs_vm for part in parts),
            variables=tuple(variable for part in parts for variable in part.variables),
            sensitive=tuple(value for part in parts for value in part.sensitive),
            description="\n".join(part.description for part in parts if part.description),
            origins={name: origins for part in parts for name, origins in part.origins.items()},
            cells={name: cell for part in parts for name, cell in part.cells.items()},
        )

    def _chosen(self, whole: Loaded) -> Loaded:
        after = [p.name or p.type for spec in whole.builds for chain in spec.post_processors for p in chain]
        chosen, complaints = select(whole.names, self.only, self.except_, after)
        builds = tuple(without(spec, self.except_) for spec in whole.builds if spec.name in chosen)
        if not whole.ok:  # what is missing, is missing because of the mistakes
            return replace(whole, builds=builds)
        complaints += tuple(_twice(chosen))
        complaints += clashes(builds, whole.origins) + differing(builds, whole.origins)
        return replace(whole, builds=builds, diagnostics=whole.diagnostics + complaints)

    def redactor(self, loaded: Loaded) -> Redactor:
        """Hides what is secret in what they say and mean."""
        files = [text for _, text in self.inputs.var_files]
        return mistakes_redactor(loaded, [*files, *self.texts.values()], os.environ)

    def report(self, loaded: Loaded, *, machine: bool = False) -> int:
        """Print the diagnostics, each once, to stderr or for machines to stdout; returns how many errors there are."""
        news = [diagnostic for diagnostic in loaded.diagnostics if diagnostic not in self._told]
        self._told.update(news)
        sources = dict(self.inputs.var_files) | self.texts
        redactor = self.redactor(loaded) if news else Redactor(())
        for diagnostic in news:
            text = sources.get(diagnostic.where.file) if diagnostic.where else None
            told = redactor.text("\n".join(render(diagnostic, text, redactor.spans)))
            if machine:
                kind = "error" if diagnostic.severity is Severity.ERROR else "say"
                told = machine_line(time.time(), "", "ui", kind, told)
            click.echo(told, err=not machine)
        return sum(d.severity is Severity.ERROR for d in loaded.diagnostics)


def _twice(names: Sequence[str]) -> Iterator[Diagnostic]:
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        hint = "a build is known by its name in logs, tags and -only: give each its own"
        yield Diagnostic(Severity.ERROR, f'several builds are called "{name}"', hint)


def _files(name: str) -> Iterator[TemplateFile]:
    if name == "-":
        yield TemplateFile("<stdin>", sys.stdin.read())
    elif name and Path(name).is_dir():  # "" would be the working directory
        yield from _directory(Path(name))
    else:
        yield TemplateFile(name, _text(name))


def _each_once(files: Sequence[TemplateFile]) -> None:
    """Raise UserError when a template comes twice, such as once by itself and once out of its directory."""
    seen: set[Path] = set()
    for path in (Path(file.name).resolve() for file in files):
        if path in seen:
            raise UserError(f"the template {path.name} is given twice", hint="leave one of them out")
        seen.add(path)


def _directory(folder: Path) -> Iterator[TemplateFile]:
    """The templates of a directory, by name: other JSON and YAML in it is passed over."""
    found = False
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        if is_hcl(path.name):
            click.echo(f"{path}: HCL2, which gilder does not read, passed over", err=True)
        if is_hcl(path.name) or path.suffix not in (".json", ".yaml", ".yml"):
            continue
        text = _text(str(path))
        if _is_template(path, text):
            found = True
            yield TemplateFile(str(path), text)
        else:
            click.echo(f"{path}: not a template, passed over", err=True)
    if not found:
        hint = "a template is a .json file with builders, or a .yaml file with a matrix or defaults"
        raise UserError(f"there is no template in the directory {folder}", hint=hint)


def _is_template(path: Path, text: str) -> bool:
    if path.suffix != ".json":
        return _NATIVE_KEYS.search(text) is not None
    try:
        value = json.loads(text)
    except ValueError:
        return '"builders"' in text  # then its mistake is to be told
    return isinstance(value, dict) and "builders" in value


def _text(name: str) -> str:
    if not name:
        raise UserError("the name of a file is empty")
    try:
        return Path(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"there is no file {name}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name} cannot be read: {error}") from None


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        # Not quoted: it may be a password, of which the variable's name was forgotten.
        raise UserError("what follows a -var is not NAME=VALUE", hint="for example: -var region=westeurope")
    return name, value
