"""The table of operations says what the code does."""

from __future__ import annotations

from pathlib import Path

from tests.localarm.conftest import Local

from localarm.operations_table import table
from localarm.routes import TABLE


def test_the_table_is_up_to_date() -> None:
    file = Path(__file__).parents[2] / "docs" / "localarm-operations.md"
    assert file.read_text() == table(), "run `python -m localarm.operations_table`"


def test_every_call_of_the_table_is_answered(local: Local) -> None:
    settings = local.world.settings
    for method, namespace, scope, shape in TABLE:
        base = f"/subscriptions/{settings.subscription}" if scope == "subscription" else local.group
        path = f"{base}/providers/{namespace}/{shape}" if namespace else f"{base}/{shape}"
        body = {"location": "westeurope"} if method in ("PUT", "PATCH", "POST") else None
        answer = local.ask(method, path.replace("{}", "none").rstrip("/"), body)
        assert answer.status not in (500, 501), (method, path, answer.payload)
