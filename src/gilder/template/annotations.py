"""What the annotations of the models ask of a written value."""

from __future__ import annotations

import types
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from gilder.model.ids import ArmId
from gilder.template import weak
from gilder.template.nodes import Node
from gilder.template.spelling import closest, listed
from gilder.template.weak import NotGiven, Unfit


def plain_type(annotation: Any) -> Any:
    """The type without `| None` and without pydantic's annotations."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return plain_type(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        members = [a for a in get_args(annotation) if a is not type(None)]
        return plain_type(members[0]) if len(members) == 1 else annotation
    return annotation


def simple_value(wanted: Any, node: Node, rendered: str | None) -> object:
    """The value of a simple type that a node is; of a text, the one that it became."""
    if wanted is int:
        return weak.as_integer(node, rendered)
    if wanted is bool:
        return weak.as_bool(node, rendered)
    text = weak.as_text(node, rendered)
    if isinstance(text, NotGiven) or wanted is str:
        return text
    if wanted is ArmId:
        return _arm_id(text)
    choices = _choices(wanted)
    return _one_of(text, choices) if choices else text


def says_nothing(annotation: Any, value: object) -> bool:
    """Whether a value is as good as none, as in Packer: an empty list, or 0, where the least is one."""
    least = [getattr(limit, "ge", getattr(limit, "min_length", 0)) for limit in getattr(annotation, "__metadata__", ())]
    return 1 in least and (value == () or (isinstance(value, int) and value == 0))


def check_limits(annotation: Any, value: object) -> None:
    """Raise Unfit when a number is outside the limits of its annotation."""
    if get_origin(annotation) is not Annotated or not isinstance(value, int):
        return
    for limit in get_args(annotation)[1:]:
        least, most = getattr(limit, "ge", None), getattr(limit, "le", None)
        if (least is not None and value < least) or (most is not None and value > most):
            raise Unfit(
                f"{value} is not allowed", f"it must be at {'least' if most is None else 'most'} {most or least}"
            )


def _choices(wanted: Any) -> tuple[str, ...]:
    if get_origin(wanted) is Literal:
        return tuple(str(a) for a in get_args(wanted))
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return tuple(str(member.value) for member in wanted)
    return ()


def _one_of(text: str, choices: tuple[str, ...]) -> str:
    """The choice that a text means: Azure takes no notice of case, and people of `-` and `_`."""

    def folded(word: str) -> str:
        return word.casefold().replace("-", "").replace("_", "")

    for choice in choices:
        if folded(choice) == folded(text):
            return choice
    near = closest(text, choices)
    hint = f"allowed: {listed(choices)}" + (f'\ndid you mean "{near}"?' if near else "")
    raise Unfit(f'"{text}" is not allowed', hint)


def _arm_id(text: str) -> ArmId:
    try:
        return ArmId.parse(text)
    except ValueError as error:
        raise Unfit(str(error)) from None
