"""What is told when the metadata service does not answer as Azure's does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web

from gilder.azure.cloud import PUBLIC, Cloud
from gilder.azure.metadata import this_machine
from gilder.model.errors import Refused

VM = "/subscriptions/5b5c7d2e-8f3a-4d6b-9c1e-2f4a6b8c0d1e/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm"


@asynccontextmanager
async def answering(*answers: tuple[int, str]) -> AsyncIterator[Cloud]:
    """A metadata service that gives these answers, the last one again and again."""
    left = list(answers)

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        status, text = left.pop(0) if len(left) > 1 else left[0]
        return web.Response(status=status, text=text, content_type="text/html" if "<" in text else "application/json")

    runner = web.ServerRunner(web.Server(serve, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield replace(PUBLIC, instance_metadata=f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


STRANGE: dict[str, tuple[int, str, str, str]] = {
    "another cloud's": (404, "<html>\nnot here</html>", "HTTP 404, <html>", "run gilder on an Azure VM"),
    "a proxy": (400, '{"error": "X-Forwarded-For"}', "HTTP 400, {", "not through a proxy"),
    "not for everybody": (403, "", "HTTP 403", "as root"),
    "busy": (429, "", "has no answer now (HTTP 429)", "try again in a minute"),
    "broken": (503, "", "has no answer now (HTTP 503)", "try again in a minute"),
    "a portal": (200, "<html>Sign in</html>", "gave an answer without sense", "run gilder on an Azure VM"),
    "a list": (200, "[]", "gave an answer without sense", "run gilder on an Azure VM"),
    "half of it": (200, f'{{"resourceId": "{VM}"}}', "gave an answer without sense", "run gilder on an Azure VM"),
}


@pytest.mark.parametrize("who", STRANGE)
async def test_who_answers_is_not_said_to_be_silent(who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    status, text, words, advice = STRANGE[who]
    monkeypatch.setattr("gilder.azure.metadata.PAUSES", (0.0, 0.0))
    async with answering((status, text)) as cloud:
        with pytest.raises(Refused) as caught:
            await this_machine(cloud)
    assert words in caught.value.message
    assert "does not answer" not in caught.value.message
    assert advice in str(caught.value.hint)


async def test_a_busy_service_is_asked_again() -> None:
    good = f'{{"resourceId": "{VM}", "location": "westeurope", "vmSize": "Standard_D2s_v5"}}'
    async with answering((429, ""), (200, good)) as cloud:
        assert (await this_machine(cloud)).name == "vm"


async def test_nobody_there_means_that_this_is_no_azure_vm() -> None:
    with pytest.raises(Refused, match="this is not an Azure VM"):
        await this_machine(replace(PUBLIC, instance_metadata="http://127.0.0.1:9"))
