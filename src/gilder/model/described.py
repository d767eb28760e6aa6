"""What an option means, in the words that stand beside it: the docstrings below the fields of the models."""

from __future__ import annotations

import ast
import inspect

from gilder.model.base import Spec


def described(model: type[Spec]) -> dict[str, str]:
    """Field → the docstring below it, in one line; fields without one are left out."""
    (found,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(found, ast.ClassDef)
    return {
        field.target.id: " ".join(doc.value.value.split())
        for field, doc in zip(found.body, found.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(doc, ast.Expr)
        and isinstance(doc.value, ast.Constant)
        and isinstance(doc.value.value, str)
    }
