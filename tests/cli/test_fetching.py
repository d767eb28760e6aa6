"""Values out of stores of secrets: asked of a server, as Vault and Consul answer."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.template.reading_aids import BUILDER, VM, errors

from gilder.cli.fetching import Fetcher
from gilder.cli.templates import TemplateFile, Templates
from gilder.template import Inputs, not_fetched

V2 = {"data": {"data": {"password": "hunter2-v2", "port": 3}, "metadata": {"version": 1}}}
PAGES: dict[str, tuple[int, bytes]] = {
    "/v1/secret/data/db": (200, json.dumps(V2).encode()),
    "/v1/kv/old": (200, json.dumps({"data": {"password": "hunter2-v1"}}).encode()),
    "/v1/kv/odd": (200, b"[]"),
    "/v1/kv/forbidden": (403, b'{"errors": ["permission denied"]}'),
    "/v1/kv/images/region%20a?raw": (200, "zürich".encode()),
    "/v1/kv/images/empty?raw": (200, b""),
}


class Store(ThreadingHTTPServer):
    """Answers for Vault and for Consul, and remembers the questions."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def env(self) -> dict[str, str]:
        address = f"127.0.0.1:{self.server_port}"
        return {
            "VAULT_ADDR": f"http://{address}",
            "VAULT_TOKEN": "vault-token",
            "CONSUL_HTTP_ADDR": address,
            "CONSUL_HTTP_TOKEN": "consul-token",
        }


class Answer(BaseHTTPRequestHandler):
    server: Store

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        status, body = PAGES.get(self.path, (404, b'{"errors": []}'))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Not on the screen."""


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def templates(env: dict[str, str], value: str) -> Templates:
    template = {"variables": {"a": value}, "builders": [BUILDER | {"tags": {"t": "<{{user `a`}}>"}}]}
    file = TemplateFile("t.json", json.dumps(template, indent=1))
    return Templates((file,), Inputs(env=env, fetch=not_fetched))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{{vault `secret/data/db` `password`}}", "hunter2-v2"),
        ("{{vault `/kv/old` `password` | upper}}", "HUNTER2-V1"),
        ("{{consul_key `images/region a`}}", "zürich"),
    ],
)
def test_a_variable_gets_what_the_store_holds(store: Store, value: str, expected: str) -> None:
    whole = templates(store.env, value).with_secrets()
    for loaded in (whole.loaded(), whole.loaded(VM)):
        assert errors(loaded) == []
        (build,) = loaded.builds
        assert build.tags == {"t": f"<{expected}>"}
        assert expected.lower() in [secret.lower() for secret in build.sensitive], "it is secret without being named"
    ((_, headers),) = store.asked  # once, though read twice
    assert headers.get("X-Vault-Token", headers.get("X-Consul-Token")) in ("vault-token", "consul-token")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{{vault `secret/data/db` `pasword`}}", "the secret of Vault at secret/data/db has no key pasword"),
        ("{{vault `secret/data/db` `port`}}", "is no text"),
        ("{{vault `kv/odd` `x`}}", "has no key x"),
        ("{{vault `kv/none` `x`}}", "Vault has no secret at kv/none"),
        ("{{vault `kv/forbidden` `x`}}", "Vault refuses it: 403 Forbidden"),
        ("{{consul_key `none`}}", "Consul has no key none"),
        ("{{consul_key `images/empty`}}", "the key images/empty of Consul is empty"),
    ],
)
def test_what_the_store_does_not_hold_is_told_where_it_is_asked_for(store: Store, value: str, message: str) -> None:
    (mistake,) = templates(store.env, value).with_secrets().loaded().diagnostics
    assert message in mistake.summary
    assert mistake.where
    assert "token" not in mistake.summary


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"VAULT_TOKEN": ""}, "VAULT_TOKEN must be set"),
        ({"VAULT_ADDR": "file:///etc"}, "must begin with http:// or https://"),
        ({"VAULT_ADDR": "http://127.0.0.1:1"}, "Vault cannot be asked: "),
        ({"VAULT_CACERT": "/nowhere.pem"}, "Vault cannot be asked: "),
        ({"VAULT_ADDR": "http://[bad"}, "its address is no URL"),
        ({"VAULT_ADDR": "http://host:port"}, "its address is no URL"),
        ({"VAULT_ADDR": f"http://{'a' * 300}"}, "its address is no URL"),
        ({"VAULT_TOKEN": "hunter2\nhunter2"}, "VAULT_TOKEN holds what no header takes"),
        ({"VAULT_TOKEN": "hünter2€"}, "VAULT_TOKEN holds what no header takes"),
        ({"VAULT_NAMESPACE": "a\rb"}, "VAULT_NAMESPACE holds what no header takes"),
    ],
)
def test_a_store_that_cannot_be_asked(store: Store, env: dict[str, str], message: str) -> None:
    with pytest.raises(LookupError, match=message) as error:
        Fetcher(store.env | env)("vault", "kv/old", "password")
    assert "nter2" not in str(error.value)


def test_a_line_end_after_a_token_is_none_of_it(store: Store) -> None:
    env = {name: f"{value}\n" if name.endswith("TOKEN") else value for name, value in store.env.items()}
    assert Fetcher(env)("vault", "kv/old", "password") == "hunter2-v1"
    assert Fetcher(env)("consul_key", "images/region a") == "zürich"


def test_something_else_than_a_store_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with listening.accept()[0] as connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                connection.recv(4096)

        thread = threading.Thread(target=answer)
        thread.start()
        env = {"VAULT_TOKEN": "x", "VAULT_ADDR": f"http://127.0.0.1:{listening.getsockname()[1]}"}
        with pytest.raises(LookupError, match="does not speak HTTP"):
            Fetcher(env)("vault", "kv/old", "password")
        thread.join()


def test_who_only_looks_at_a_template_asks_no_store(store: Store) -> None:
    loaded = templates(store.env, "{{vault `secret/data/db` `pasword`}}").loaded()
    assert loaded.diagnostics == ()
    assert store.asked == []
    assert [build.tags for build in loaded.builds] == [{"t": "<{{user `a`}}>"}]


def test_the_store_is_asked_for_what_counts_only(store: Store) -> None:
    whole = templates(store.env, "{{vault `kv/none` `x`}}")
    given = Templates(whole.files, Inputs(env=store.env, variables={"a": "given"})).with_secrets()
    assert [build.tags for build in given.loaded().builds] == [{"t": "<given>"}]
    assert store.asked == []
