"""The functions that every Go template has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard
from urllib.parse import quote_plus

from gilder.template.go_evaluate import Callee, FunctionFailed, truth
from gilder.template.go_printf import printf
from gilder.template.go_values import Value, print_values, shown, type_name


def _whole(value: Value) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _position(value: Value, size: int, *, inclusive: bool = False) -> int:
    if not _whole(value):
        raise FunctionFailed(f"cannot index slice/array with type {type_name(value)}")
    if not 0 <= value < size + inclusive:
        raise FunctionFailed(f"index out of range: {value}")
    return value


def _index(value: Value, *keys: Value) -> Value:
    for key in keys:
        if isinstance(value, Mapping):
            if not isinstance(key, str):
                raise FunctionFailed(f"value has type {type_name(key)}; should be string")
            value = value.get(key)
        elif isinstance(value, str):
            data = value.encode(errors="surrogateescape")
            value = data[_position(key, len(data))]
        elif isinstance(value, list | tuple):
            value = value[_position(key, len(value))]
        else:
            raise FunctionFailed(
                "index of untyped nil" if value is None else f"can't index item of type {type_name(value)}"
            )
    return value


def _slice(value: Value, *bounds: Value) -> Value:
    if len(bounds) > 3 or (isinstance(value, str) and len(bounds) > 2):
        raise FunctionFailed(f"too many slice indexes: {len(bounds)}")
    if not isinstance(value, str | list | tuple):
        raise FunctionFailed(f"can't slice item of type {type_name(value)}")
    data = value.encode(errors="surrogateescape") if isinstance(value, str) else value
    places = [_position(bound, len(data), inclusive=True) for bound in bounds]
    low, high = (*places, *(0, len(data))[len(places) :])[:2]
    if low > high:
        raise FunctionFailed(f"invalid slice index: {low} > {high}")
    part = data[low:high]
    return part.decode(errors="replace") if isinstance(part, bytes) else part


def _length(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode(errors="surrogateescape"))
    if isinstance(value, list | tuple | Mapping):
        return len(value)
    raise FunctionFailed("len of nil pointer" if value is None else f"len of type {type_name(value)}")


def _equal(first: Value, second: Value) -> bool:
    if isinstance(first, list | tuple | Mapping) or isinstance(second, list | tuple | Mapping):
        raise FunctionFailed("incompatible types for comparison")
    if first is None or second is None:
        return first is second
    if type(first) is not type(second):
        raise FunctionFailed("incompatible types for comparison")
    return first == second


def _any_equal(first: Value, *others: Value) -> bool:
    if not others:
        raise FunctionFailed("missing argument for comparison")
    return any(_equal(first, other) for other in others)


def _less(first: Value, second: Value) -> bool:
    if isinstance(first, str) and isinstance(second, str):
        return first.encode(errors="surrogateescape") < second.encode(errors="surrogateescape")
    if _whole(first) and _whole(second):
        return first < second
    if isinstance(first, float) and isinstance(second, float):
        return first < second
    same = type(first) is type(second)
    raise FunctionFailed(f"{'invalid type' if same else 'incompatible types'} for comparison")


def _joined(values: tuple[Value, ...]) -> str:
    return values[0] if len(values) == 1 and isinstance(values[0], str) else print_values(values)


_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;", "\0": "\ufffd"})
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"'}


def _js(text: str) -> str:
    def escaped(c: str) -> str:
        if c in _JS:
            return _JS[c]
        return f"\\u{ord(c):04X}" if c in "<>&=" or not c.isprintable() else c

    return "".join(escaped(c) for c in text)


def _call(*_: Value) -> Value:
    raise FunctionFailed("there are no values here that can be called")


GO_BUILTINS: dict[str, Callee] = {
    "and": Callee(lambda *v: v, (object,), object),  # and `or`: see Evaluation, they stop early
    "or": Callee(lambda *v: v, (object,), object),
    "not": Callee(lambda v: not truth(v), (object,)),
    "eq": Callee(_any_equal, (object,), object),
    "ne": Callee(lambda a, b: not _equal(a, b), (object, object)),
    "lt": Callee(_less, (object, object)),
    "le": Callee(lambda a, b: _less(a, b) or _equal(a, b), (object, object)),
    "gt": Callee(lambda a, b: not (_less(a, b) or _equal(a, b)), (object, object)),
    "ge": Callee(lambda a, b: not _less(a, b), (object, object)),
    "len": Callee(_length, (object,)),
    "index": Callee(_index, (object,), object),
    "slice": Callee(_slice, (object,), object),
    "print": Callee(lambda *v: print_values(v), (), object),
    "printf": Callee(lambda f, *v: printf(f, v), (str,), object),
    "println": Callee(lambda *v: " ".join(shown(x) for x in v) + "\n", (), object),
    "html": Callee(lambda *v: _joined(v).translate(_HTML), (), object),
    "js": Callee(lambda *v: _js(_joined(v)), (), object),
    "urlquery": Callee(lambda *v: quote_plus(_joined(v)), (), object),
    "call": Callee(_call, (object,), object),
}
"""https://pkg.go.dev/text/template#hdr-Functions"""
