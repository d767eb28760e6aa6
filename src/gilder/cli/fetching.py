"""Values of templates that stand in a store of secrets: `vault` and `consul_key`, asked as Packer asks them."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from http.client import HTTPException, InvalidURL
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPSHandler, Request, build_opener

_PATIENCE = 10.0
"""Seconds for an answer."""
_MOST = 2**20
"""Bytes of an answer: a value of a template is small."""


class Fetcher:
    """Fetches each value once, though a template is read more than once. `env` says where the stores are."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._found: dict[tuple[str, ...], str] = {}

    def __call__(self, store: str, *which: str) -> str:
        """The value; raises LookupError that says why there is none."""
        if (store, *which) not in self._found:
            fetch = _of_vault if store == "vault" else _of_consul
            self._found[store, *which] = fetch(self._env, *which)
        return self._found[store, *which]


def _of_consul(env: Mapping[str, str], key: str) -> str:
    address = env.get("CONSUL_HTTP_ADDR") or "127.0.0.1:8500"
    if "://" not in address:
        secure = env.get("CONSUL_HTTP_SSL", "").lower() in ("1", "true")
        address = f"http{'s' * secure}://{address}"
    token = _sendable(env, "CONSUL_HTTP_TOKEN")
    headers = {"X-Consul-Token": token} if token else {}
    answer = _asked("Consul", f"{address}/v1/kv/{quote(key)}?raw", headers, env.get("CONSUL_CACERT"))
    if not answer:
        raise LookupError(f"Consul has no key {key}" if answer is None else f"the key {key} of Consul is empty")
    return answer.decode(errors="replace")


def _of_vault(env: Mapping[str, str], path: str, key: str) -> str:
    """A secret of the second version of Vault's store of keys and values, or else of the first."""
    token = _sendable(env, "VAULT_TOKEN")
    if not token:
        raise LookupError("VAULT_TOKEN must be set for it")
    headers = {"X-Vault-Token": token, "X-Vault-Request": "true"}
    if namespace := _sendable(env, "VAULT_NAMESPACE"):
        headers["X-Vault-Namespace"] = namespace
    address = env.get("VAULT_ADDR") or "https://127.0.0.1:8200"
    answer = _asked("Vault", f"{address}/v1/{quote(path.strip('/'))}", headers, env.get("VAULT_CACERT"))
    if answer is None:
        raise LookupError(f"Vault has no secret at {path}")
    try:
        data = json.loads(answer)["data"]
        second = data.get("data")
        value = (second if isinstance(second, dict) else data)[key]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LookupError(f"the secret of Vault at {path} has no key {key}") from None
    if not isinstance(value, str):
        raise LookupError(f"the key {key} of Vault's secret at {path} is no text")
    return value


def _sendable(env: Mapping[str, str], name: str) -> str:
    """A variable as a header takes it: what a file or `echo` leaves around it is none of it; "" without one."""
    bare = env.get(name, "").strip()
    if not (bare.isascii() and bare.isprintable()):
        raise LookupError(f"{name} holds what no header takes: line breaks, or letters beyond ASCII")
    return bare


def _asked(what: str, url: str, headers: Mapping[str, str], ca_file: str | None) -> bytes | None:
    """The answer; None when there is nothing. Raises LookupError for any other."""
    if not url.startswith(("http://", "https://")):
        raise LookupError(f"the address of {what} must begin with http:// or https://")
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        opener = build_opener(HTTPSHandler(context=context))
        with opener.open(Request(url, headers=dict(headers)), timeout=_PATIENCE) as answer:  # noqa: S310 — see above
            body: bytes = answer.read(_MOST)
            return body
    except HTTPError as error:
        error.close()
        if error.code == 404:
            return None
        raise LookupError(f"{what} refuses it: {error.code} {error.reason}") from None
    except (URLError, OSError) as error:
        raise LookupError(f"{what} cannot be asked: {getattr(error, 'reason', error)}") from None
    except (ValueError, InvalidURL):  # not in its words: they quote what was given
        raise LookupError(f"{what} cannot be asked: its address is no URL") from None
    except HTTPException:
        raise LookupError(f"{what} cannot be asked: what answers there does not speak HTTP") from None
