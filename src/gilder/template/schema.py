"""The JSON Schema of the matrix format, for editors: made from the same tables that reading uses."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from gilder.model.described import described
from gilder.model.ids import ArmId
from gilder.model.spec import Auth, BuildSpec, ChrootMount, Spec
from gilder.template import post_processors, provisioners
from gilder.template.annotations import plain_type
from gilder.template.azure_chroot import SHAPE
from gilder.template.decode import Shape, options_of

_TEMPLATE = {"type": "string", "pattern": r"\{\{"}
"""Wherever a value is wanted, a text with placeholders may stand."""
_WHOLE = {"type": "string", "pattern": r"^([+-]?[0-9][0-9A-Fa-fxob_]*)?$|\{\{"}
_TRUTH = {"type": "string", "pattern": r"^(1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)?$|\{\{"}
"""A number and a truth value may stand between quotes; an empty text is as good as none."""
_NULL = {"type": "null"}
"""For every option: as if it was not there, also over a default."""
_DURATION = {
    "anyOf": [
        {"type": "string", "examples": ["10s", "1m30s"], "pattern": r"^(\+?([0-9.]+(ns|us|[µμ]s|ms|s|m|h))+|0)?$|\{\{"},
        {"const": 0},
    ]
}
_SCALAR = {"type": ["string", "number", "boolean"]}


def schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of a matrix file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gilder matrix file",
        "type": "object",
        "additionalProperties": False,
        "patternProperties": {"^_": {"description": "Ignored: a place for YAML anchors."}},
        "properties": {
            "name": {"type": "string", "description": "The name of each build; without it, its values joined by -."},
            "description": {"type": "string"},
            "variables": {"type": "object", "additionalProperties": _variable()},
            "matrix": _matrix(),
            "defaults": {"$ref": "#/$defs/options", "description": "Options of every build."},
            "overrides": {"type": "array", "items": _override(), "description": "Options of some; later ones win."},
            "provisioners": {
                "type": "object",
                "description": "Lists of provisioners, which builds use by name.",
                "additionalProperties": _list_of({"$ref": "#/$defs/provisioner"}),
            },
        },
        "$defs": {
            "options": {"type": "object", "additionalProperties": False, "properties": _options()},
            "provisioner": _by_type({name: kind.shape for name, kind in provisioners.KINDS.items()}),
            "post_processor": _by_type({name: kind.shape for name, kind in post_processors.KINDS.items()}),
        },
    }


def _variable() -> dict[str, Any]:
    properties = {
        "default": {"type": ["string", "number", "null"]},
        "sensitive": {"type": "boolean"},
        "description": {"type": "string"},
    }
    return {
        "description": "The default; null: must be given.",
        "anyOf": [
            {"type": ["string", "number", "null"]},
            {"type": "object", "additionalProperties": False, "properties": properties},
        ],
    }


def _matrix() -> dict[str, Any]:
    value = {"anyOf": [_SCALAR, {"type": "object", "required": ["name"]}]}
    entries = {"type": "array", "items": {"type": "object", "minProperties": 1}}
    return {
        "type": "object",
        "description": "Axes: each combination of their values is a build; use a value as {{ .Matrix.AXIS }}.",
        "properties": {"include": entries, "exclude": entries},
        "additionalProperties": {"anyOf": [{"type": "array", "items": value, "minItems": 1}, *value["anyOf"]]},
    }


def _options() -> dict[str, Any]:
    block = {"$ref": "#/$defs/provisioner"}
    after = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/post_processor"}]}
    return _properties(SHAPE) | {
        "provisioners": _list_of({"anyOf": [{"type": "string"}, block]}),
        "error_cleanup_provisioner": {"anyOf": [block, _NULL]},
        "post_processors": _list_of({"anyOf": [*after["anyOf"], {"type": "array", "items": after}]}),
    }


def _override() -> dict[str, Any]:
    match = {"type": "object", "additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}}
    return {
        "type": "object",
        "required": ["match"],
        "additionalProperties": False,
        "properties": {"match": match | {"description": "axis: value, glob, or a list of those"}} | _options(),
    }


def _by_type(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    names = {"type": "array", "items": {"type": "string"}}
    return {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": sorted(shapes)}},
        "oneOf": [
            {
                "additionalProperties": False,
                "properties": {
                    "type": {"const": name},
                    "only": names,
                    "except": names,
                    "override": {"type": "object"},
                    **_properties(shape),
                },
            }
            for name, shape in shapes.items()
        ],
    }


def _properties(shape: Shape) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, annotation in sorted(shape.options.items()):
        described = _DURATION if name in shape.durations else _type(annotation)
        text = _descriptions().get(name)
        found[name] = _or_null(described) | ({"description": text} if text else {})
    found.update({name: {"deprecated": True, "description": f"Ignored: {why}."} for name, why in shape.ignored.items()})
    return found


def _list_of(item: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [{"type": "array", "items": item}, item, {"const": ""}, _NULL]}


def _or_null(described: dict[str, Any]) -> dict[str, Any]:
    ways = described["anyOf"] if set(described) == {"anyOf"} else [described]
    return described if _NULL in ways else {"anyOf": [*ways, _NULL]}


def _type(annotation: Any) -> dict[str, Any]:
    wanted = plain_type(annotation)
    origin = get_origin(wanted)
    if origin is tuple:
        return _list_of(_type(get_args(wanted)[0]))
    if origin is dict:
        table = {"type": "object", "additionalProperties": {"anyOf": [_SCALAR, _NULL]}}
        return {"anyOf": [table, {"type": "array", "items": table}]}
    if wanted is ChrootMount:
        return {
            "anyOf": [{"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 3}, _object(wanted)]
        }
    if isinstance(wanted, type) and issubclass(wanted, Spec):
        return _object(wanted)
    return _scalar(wanted, annotation)


def _object(model: type[Spec]) -> dict[str, Any]:
    required = [name for name, f in model.model_fields.items() if f.is_required()]
    texts = described(model)
    properties = {
        name: _or_null(_type(annotation)) | ({"description": texts[name]} if name in texts else {})
        for name, annotation in options_of(model).items()
    }
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": required}


_BOUNDS = {"ge": "minimum", "le": "maximum"}


def _scalar(wanted: Any, annotation: Any) -> dict[str, Any]:
    if get_origin(wanted) is Literal:
        return {"anyOf": [{"enum": [*get_args(wanted), ""]}, _TEMPLATE]}
    if wanted is bool or wanted is int:
        bounds: dict[str, Any] = {}
        for limit in get_args(annotation)[1:] if get_origin(annotation) is Annotated else ():
            bounds |= {word: getattr(limit, key) for key, word in _BOUNDS.items() if hasattr(limit, key)}
        return {"anyOf": [{"type": "boolean"}, _TRUTH] if wanted is bool else [{"type": "integer", **bounds}, _WHOLE]}
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return {"anyOf": [{"enum": [*(member.value for member in wanted), ""]}, _TEMPLATE]}
    return {"type": "string"} if wanted is ArmId else dict(_SCALAR)


@cache
def _descriptions() -> dict[str, str]:
    """Option → the docstring under its field in the models."""
    models: list[type[Spec]] = [BuildSpec, Auth, *(kind.model for kind in provisioners.KINDS.values())]
    return {option: text for model in reversed(models) for option, text in described(model).items()}
