"""The embedded cloud as somebody else uses it: plain requests, with the token of the VM's managed identity."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

API = {"disks": "2024-03-02", "snapshots": "2024-03-02", "galleries": "2024-03-03"}
"""api-versions by type; of the other types it is that of machines."""
PATIENCE = 60.0


@dataclass(frozen=True)
class Cloud:
    """A running embedded cloud. `facts` is what its lease told: addresses and the certificate authority."""

    facts: dict[str, str]

    @property
    def group(self) -> str:
        """The id of the VM's resource group."""
        vm = self._metadata("/metadata/instance/compute?api-version=2021-02-01&format=json")
        return f"/subscriptions/{vm['subscriptionId']}/resourceGroups/{vm['resourceGroupName']}"

    @property
    def subscription(self) -> str:
        """The VM's subscription."""
        return self.group.split("/")[2]

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Write a resource below `…/providers/Microsoft.Compute` of the VM's group and wait until it has settled."""
        self._ask("PUT", path, {"location": "westeurope"} | body)
        deadline = time.monotonic() + PATIENCE
        while (found := self.get(path))["properties"]["provisioningState"] != "Succeeded":
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found

    def get(self, path: str) -> dict[str, Any]:
        """Read a resource."""
        return self._ask("GET", path, None)

    def delete(self, path: str) -> None:
        """Delete a resource and wait until it is gone."""
        self._ask("DELETE", path, None)
        deadline = time.monotonic() + PATIENCE
        kind, _, name = path.rpartition("/")
        while any(found["name"] == name for found in self.get(kind)["value"]):
            assert time.monotonic() < deadline, path
            time.sleep(0.05)

    def definition(self, name: str, gallery: str = "gallery", generation: str = "V2") -> None:
        """A gallery with a definition for generalized Linux images."""
        self.put(f"galleries/{gallery}", {})
        identifier = {"publisher": "us", "offer": "linux", "sku": name}
        properties = {"osType": "Linux", "osState": "Generalized", "hyperVGeneration": generation}
        self.put(f"galleries/{gallery}/images/{name}", {"properties": properties | {"identifier": identifier}})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        version = API.get(path.partition("/")[0], "2024-07-01")
        url = f"https://{self.facts['metadata_host']}{self.group}/providers/Microsoft.Compute/{path}?api-version={version}"
        request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        resource = "https%3A%2F%2Fmanagement.azure.com%2F"
        token = self._metadata(f"/metadata/identity/oauth2/token?api-version=2018-02-01&resource={resource}")
        request.add_header("Authorization", f"Bearer {token['access_token']}")
        context = ssl.create_default_context(cafile=self.facts["ca_file"])
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            text = answer.read()
            found: dict[str, Any] = json.loads(text) if text else {}
            return found

    def _metadata(self, path: str) -> dict[str, Any]:
        request = urllib.request.Request(self.facts["metadata_url"] + path)
        request.add_header("Metadata", "true")
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


@contextmanager
def held(state: Path, *options: str) -> Iterator[Cloud]:
    """The embedded cloud of a state directory, kept running while inside."""
    command = [sys.executable, "-m", "localarm", "lease", "--state", str(state), *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as lease:
        assert lease.stdin is not None
        assert lease.stdout is not None
        try:
            yield Cloud(json.loads(lease.stdout.readline()))
        finally:
            lease.stdin.close()
            lease.wait(30)
