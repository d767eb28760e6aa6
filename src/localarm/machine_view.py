"""A virtual machine as clients see it: its document, its etag, its instance view."""

from __future__ import annotations

from typing import Any

from localarm.calls import Call
from localarm.clock import timestamp
from localarm.messages import Json, Response
from localarm.resources import Resource
from localarm.world import World

ETAG_SINCE = "2024-03-01"
"""Older api-versions never show an etag (recorded)."""


def shown(call: Call, machine: Resource, *, instance_view: bool = False) -> Response:
    """A machine as GET answers it: with the etag where the api-version has one."""
    body = machine.body if machine.hidden.get("power") != "deallocated" else _without_hardware(machine).body
    if instance_view:
        properties = dict(body["properties"])
        created = properties.pop("timeCreated")
        properties |= {"instanceView": shown_instance(call.world, machine), "timeCreated": created}
        body = {**body, "properties": properties}
        return Response(
            200, body if call.api_version < ETAG_SINCE else with_etag(body, machine)
        )  # no header (recorded)
    if call.api_version < ETAG_SINCE:
        return Response(200, body)
    return Response(200, with_etag(body, machine), {"ETag": f'"{machine.etag}"'})


def with_etag(body: Json, machine: Resource) -> Json:
    """A machine's document with its etag, right after the properties."""
    found: Json = {}
    for name, value in body.items():
        found[name] = value
        if name == "properties":
            found["etag"] = f'"{machine.etag}"'
    return found


def _without_hardware(machine: Resource) -> Resource:
    """A deallocated machine: its disks' entries lose size and account type (recorded)."""
    storage = machine.properties["storageProfile"]

    def bare(entry: Json) -> Json:
        kept = {name: value for name, value in entry.items() if name != "diskSizeGB"}
        return {**kept, "managedDisk": {name: value for name, value in entry["managedDisk"].items() if name == "id"}}

    data_disks = [bare(entry) for entry in storage.get("dataDisks", [])]
    return machine.with_properties(
        storageProfile={**storage, "osDisk": bare(storage["osDisk"]), "dataDisks": data_disks}
    )


def shown_instance(world: World, machine: Resource) -> Json:
    """The state of a machine: its agent, its disks, its power."""

    def status(code: str, text: str, **more: Any) -> Json:
        return {"code": code, "level": "Info", "displayStatus": text, **more}

    time = machine.properties["timeCreated"]
    power = str(machine.hidden.get("power", "running"))
    storage = machine.properties["storageProfile"]
    # An OS disk that is still to be made, or never was, may have no name yet.
    names = [entry["name"] for entry in [storage["osDisk"], *storage.get("dataDisks", [])] if "name" in entry]
    ready = status("ProvisioningState/succeeded", "Provisioning succeeded", time=time)
    generation = str(machine.hidden.get("generation", "V1"))
    agent = status(
        "ProvisioningState/succeeded", "Ready", message="Guest Agent is running", time=timestamp(world.clock())
    )
    power_status = status(f"PowerState/{power}", f"VM {power}")
    if machine.state == "Creating":
        creating = {"code": "ProvisioningState/creating", "level": "Info", "displayStatus": "Creating"}
        return {
            "disks": [{"name": name, "statuses": [ready]} for name in names],
            "hyperVGeneration": generation,
            "statuses": [creating, power_status],
        }
    return {
        "computerName": machine.name,
        "osName": "debian",
        "osVersion": "13",
        "vmAgent": {"vmAgentVersion": "2.11.1.4", "statuses": [agent], "extensionHandlers": []},
        "disks": [{"name": name, "statuses": [ready]} for name in names],
        "hyperVGeneration": generation,
        "statuses": [ready, power_status],
    }  # fmt: skip
