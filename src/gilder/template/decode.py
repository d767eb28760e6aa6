"""Tables into the values of a model: types, weak typing, unknown keys, places. Every mistake is noted; none raises."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import ValidationError

from gilder.model.diagnostics import Span
from gilder.model.spec import ChrootMount, Delayed, Spec
from gilder.template import weak
from gilder.template.annotations import check_limits, plain_type, says_nothing, simple_value
from gilder.template.nodes import Array, Node, Null, Table, Text, kind
from gilder.template.reading import Reading
from gilder.template.spelling import did_you_mean, listed
from gilder.template.splitting import parts
from gilder.template.texts import Promise, RunTimeText
from gilder.template.weak import NOT_GIVEN, NotGiven, Unfit

S = TypeVar("S", bound=Spec)


class _Invalid:
    """Stands for a value whose mistake is noted already."""


_INVALID = _Invalid()
Outcome = object
"""A value for the model, NOT_GIVEN, or _INVALID."""
_FEW = 12
"""Options that may be listed in a hint."""
_EMPTY: dict[Any, Outcome] = {str: "", int: 0}
"""What an empty text is among others of its type."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a table may hold: option → type, as the model annotates it."""

    noun: str
    """What the table describes, for messages."""
    options: Mapping[str, Any]
    page: str = "docs/provisioners.md"
    """Where they are described."""
    promises: Mapping[str, Promise] = field(default_factory=dict)
    """What the run-time texts among the options may count on."""
    verbatim: frozenset[str] = frozenset()
    """Those of them that Packer fills in only at run time, and splits as written when they are one text for a list."""
    durations: frozenset[str] = frozenset()
    """Options that are written as durations and become seconds."""
    ignored: Mapping[str, str] = field(default_factory=dict)
    """Options of the reference that mean nothing here → why."""


def options_of(model: type[Spec], *without: str) -> dict[str, Any]:
    """The options that a model's fields stand for: name → type, with its limits."""
    fields = {name: f for name, f in model.model_fields.items() if name not in without}
    return {n: Annotated[f.annotation, *f.metadata] if f.metadata else f.annotation for n, f in fields.items()}


@dataclass
class Decoded:
    """The values given, and where: path (`shared_image_destination.target_regions.0.name`) → span."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Span] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Values of tables inside, by path; also of those that are incomplete."""
    doubtful: set[str] = field(default_factory=set)
    """Paths whose values say nothing: there is a mistake, which is noted, or they hang on what is not known here."""

    def doubts(self, *path: object) -> bool:
        """Whether the value there, or the nearest thing around it, says nothing, so that nothing can be wrong with it."""
        for n in range(len(path), 0, -1):
            name = ".".join(str(p) for p in path[:n])
            if name in self.doubtful or name in self.places:
                return name in self.doubtful
        return False

    def place(self, *path: object) -> Span | None:
        """Where a value stands, or the nearest thing around it."""
        for n in range(len(path), 0, -1):
            if span := self.places.get(".".join(str(p) for p in path[:n])):
                return span
        return None


def decode(table: Table, shape: Shape, reading: Reading) -> Decoded:
    """The values of a table's options; what is wrong is noted and left out."""
    decoder = _Decoder(shape, reading)
    decoder.result.values = decoder.table(table, shape.options, "", shape.noun, shape.ignored)
    return decoder.result


class _Decoder:
    def __init__(self, shape: Shape, reading: Reading) -> None:
        self.shape = shape
        self.reading = reading
        self.result = Decoded()

    def wrong(self, summary: str, where: Span, hint: str = "") -> _Invalid:
        self.reading.notes.error(summary, where, hint)
        return _INVALID

    def table(
        self, table: Table, options: Mapping[str, Any], path: str, noun: str, ignored: Mapping[str, str]
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, node in table.entries:
            name = self.reading.text(key, "a key")
            if name is None:
                continue
            if name in ignored:
                self.reading.notes.warning(f"{noun}: the option {name} is ignored", key.region.span, ignored[name])
            elif name not in options:
                known = listed(options) if len(options) <= _FEW else f"the options in {self.shape.page}"
                hint = did_you_mean(name, options, otherwise=f"what is known: {known}")
                self.wrong(f"{noun}: there is no option {name!r}", key.region.span, hint)
            else:
                full = f"{path}{name}"
                self.result.places[full] = node.region.span
                self.result.nodes[full] = node
                value = self.value(options[name], node, full)
                if not isinstance(value, NotGiven | _Invalid):
                    values[name] = value
        return values

    def value(self, annotation: Any, node: Node, path: str) -> Outcome:
        """The value that a node is where `annotation` is wanted; none where it hangs on what is not known and is unfit."""
        notes = self.reading.notes
        errors, unknowns = notes.errors, notes.unknowns
        try:
            value = self._value(plain_type(annotation), node, path)
            if says_nothing(annotation, value):
                value = NOT_GIVEN
            check_limits(annotation, value)
        except Unfit as unfit:
            value = NOT_GIVEN
            if notes.unknowns == unknowns:
                value = self.wrong(f"{shown(path)}: {unfit}", node.region.span, unfit.hint)
        if notes.errors > errors or notes.unknowns > unknowns:
            self.result.doubtful.add(path)
        return value

    def _value(self, wanted: Any, node: Node, path: str) -> Outcome:
        origin = get_origin(wanted)
        if origin is tuple:
            return self._list(get_args(wanted)[0], node, path)
        if origin is dict:
            return self._mapping(get_args(wanted)[1], node, path)
        if wanted is Delayed:
            return self._later(node, path)
        if wanted is ChrootMount:
            return self._mount(node, path)
        if isinstance(wanted, type) and issubclass(wanted, Spec):
            return self._spec(wanted, node, path)
        return self._scalar(wanted, node, path)

    def _scalar(self, wanted: Any, node: Node, path: str) -> Outcome:
        rendered: str | None = None
        if isinstance(node, Text):
            rendered = self.reading.text(node, shown(path))
            if rendered is None:
                return _INVALID
        if path in self.shape.durations:
            return weak.as_seconds(node, rendered)
        return simple_value(wanted, node, rendered)

    def _list(self, item: Any, node: Node, path: str) -> Outcome:
        if isinstance(node, Null):
            return NOT_GIVEN
        if isinstance(node, Text):
            return self._split(item, node, path)
        items = weak.elements(node)
        values = [self._member(item, element, f"{path}.{i}") for i, element in enumerate(items)]
        for i, element in enumerate(items):
            self.result.places[f"{path}.{i}"] = element.region.span
        if any(isinstance(value, _Invalid) for value in values):
            return _INVALID
        return tuple(value for value in values if not isinstance(value, NotGiven))

    def _member(self, item: Any, node: Node, path: str) -> Outcome:
        """One value of a list or an object. There an empty one counts too, and null is one, as in Packer."""
        wanted = plain_type(item)
        if isinstance(node, Null) and wanted in (str, Delayed):
            node = Text("", node.region)
        value = self.value(item, node, path)
        return _EMPTY.get(wanted, value) if isinstance(value, NotGiven) else value

    def _split(self, item: Any, node: Text, path: str) -> Outcome:
        """One text where a list is wanted: it is filled in, and split at its commas."""
        wanted = plain_type(item)
        if wanted not in (str, Delayed, int):
            if self.reading.text(node, shown(path)) == "":
                return NOT_GIVEN
            raise Unfit("expected a list, found a text", "write a list between [ and ]")
        found = self._parts(node, path) if wanted is Delayed else self._rendered_parts(wanted, node, path)
        if len(found) > 1:
            summary = f"{path}: one text where a list is expected is split at its commas"
            self.reading.notes.warning(summary, node.region.span, "write a list")
        return _INVALID if any(isinstance(v, _Invalid) for v in found) else found

    def _rendered_parts(self, wanted: Any, node: Text, path: str) -> tuple[Outcome, ...]:
        rendered = self.reading.text(node, shown(path))
        if rendered is None:
            return (_INVALID,)
        values = [simple_value(wanted, node, part) for part in rendered.split(",")] if rendered else []
        return tuple(_EMPTY[wanted] if isinstance(value, NotGiven) else value for value in values)

    def _parts(self, node: Text, path: str) -> tuple[Outcome, ...]:
        whole = self._later(node, path)
        if not isinstance(whole, RunTimeText):
            return () if isinstance(whole, NotGiven) else (whole,)
        texts = parts(whole.text, whole.scope, verbatim=path in self.shape.verbatim)
        if texts == [""]:
            return ()
        return tuple(self._later(Text(text, node.region), f"{path}.{i}") for i, text in enumerate(texts))

    def _mapping(self, item: Any, node: Node, path: str) -> Outcome:
        if isinstance(node, Array) and all(isinstance(item, Table) for item in node.items):
            node = Table(tuple(e for item in node.items if isinstance(item, Table) for e in item.entries), node.region)
        if isinstance(node, Null):
            return NOT_GIVEN
        if not isinstance(node, Table):
            raise Unfit(f"expected an object of texts, found {kind(node)}", 'write {"name": "value"}')
        found: dict[str, object] = {}
        self.result.tables[path] = found
        errors = self.reading.notes.errors
        for key, content in node.entries:
            inside, before = f"{path}.{key.value}", self.reading.notes.unknowns
            name = self.reading.text(key, f"a key of {path}")
            if self.reading.notes.unknowns > before:
                self.result.doubtful.add(inside)
            value = self._member(item, content, inside)
            self.result.places[inside] = content.region.span
            if name is not None and not isinstance(value, NotGiven):
                found[name] = value
        return found if self.reading.notes.errors == errors else _INVALID

    def _later(self, node: Node, path: str) -> Outcome:
        if not isinstance(node, Text):
            text = weak.as_text(node, None)
            if isinstance(text, NotGiven):
                return text
            node = Text(text, node.region)
        promise = self.shape.promises.get(path.partition(".")[0], Promise())
        found = self.reading.later(node, shown(path), promise)
        if found is None:
            return _INVALID
        return NOT_GIVEN if "." not in path and found.now() == "" else found

    def _mount(self, node: Node, path: str) -> Outcome:
        if isinstance(node, Table):
            return self._spec(ChrootMount, node, path)
        parts = self.value(tuple[str, ...], node, path) if isinstance(node, Array) else ()
        if isinstance(parts, _Invalid):
            return parts
        if not isinstance(parts, tuple) or len(parts) != 3 or not all(parts):
            hint = 'each is a list of three texts: ["bind", "/dev", "/dev"] (type, source, directory in the guest)'
            raise Unfit(f"a mount has a type, a source and a directory; found {_size(node)}", hint)
        return dict(zip(("type", "source", "target"), parts, strict=True))

    def _spec(self, model: type[Spec], node: Node, path: str) -> Outcome:
        if isinstance(node, Array) and len(node.items) == 1:
            node = node.items[0]
        if isinstance(node, Null):
            return NOT_GIVEN
        if not isinstance(node, Table):
            raise Unfit(f"expected an object, found {kind(node)}", f"its options are {listed(model.model_fields)}")
        before = self.reading.notes.errors
        values = self.table(node, options_of(model), f"{path}.", shown(path), {})
        self.result.tables[path] = values
        missing = [n for n, f in model.model_fields.items() if f.is_required() and n not in values]
        for name in missing:
            if f"{path}.{name}" not in self.result.places:
                self.wrong(f"{shown(path)}: {name} is missing", node.region.span)
            elif not self.result.doubts(path, name):
                self.wrong(f"{shown(path)}.{name} is empty", self.result.places[f"{path}.{name}"])
        if self.reading.notes.errors > before:
            return _INVALID
        return NOT_GIVEN if missing else values


def shown(path: str) -> str:
    """A path as a person writes it: `chroot_mounts[0]`."""
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", path)


def _size(node: Node) -> str:
    if isinstance(node, Array):
        return f"a list of {len(node.items)}" + (", some empty" if len(node.items) == 3 else "")
    return kind(node)


_WORDS: dict[str, str] = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "missing": "is missing",
    "string_pattern_mismatch": "has the wrong form",
}


def built(model: type[S], values: Mapping[str, Any], decoded: Decoded, reading: Reading, at: Span) -> S | None:
    """The model's value; None when the model refuses, which is then noted unless it hangs on what is not known here."""
    try:
        return model.model_validate(values)
    except ValidationError as refused:
        for error in refused.errors(include_url=False):
            at_option = error["loc"][:1]  # of the whole, anything may be the cause
            if decoded.doubts(*at_option) if at_option else decoded.doubtful:
                continue
            name = ".".join(str(part) for part in error["loc"])
            words = _WORDS.get(error["type"], error["msg"].removeprefix("Value error, "))
            summary = words.format(**error.get("ctx", {})) if error["type"] in _WORDS else words
            reading.notes.error(f"{name}: {summary}" if name else summary, decoded.place(*error["loc"]) or at)
        return None
