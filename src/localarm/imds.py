"""Instance metadata and managed-identity tokens, as 169.254.169.254 answers them (plain HTTP)."""

from __future__ import annotations

from typing import Any

from localarm.arm import key
from localarm.messages import Json, Request, Response
from localarm.resources import Resource
from localarm.settings import Principal
from localarm.tokens import Tokens
from localarm.world import World

OLDEST = "2017-03-01"
ADDED = {
    "additionalCapabilities": "2021-11-01", "azEnvironment": "2018-10-01", "customData": "2019-02-01",
    "evictionPolicy": "2020-12-01", "isHostCompatibilityLayerVm": "2020-06-01", "licenseType": "2020-09-01",
    "osProfile": "2020-07-15", "placementGroupId": "2017-08-01", "plan": "2018-04-02", "priority": "2020-12-01",
    "provider": "2018-10-01", "publicKeys": "2018-04-02", "resourceGroupName": "2017-08-01", "resourceId": "2019-03-11",
    "securityProfile": "2020-06-01", "storageProfile": "2019-06-01", "subscriptionId": "2017-08-01", "tags": "2017-08-01",
    "tagsList": "2019-06-04", "userData": "2021-01-01", "virtualMachineScaleSet": "2021-03-01",
    "vmScaleSetName": "2017-12-01", "zone": "2017-12-01",
}  # fmt: skip
"""The version that brought each part of `compute`, from Azure's documentation of the metadata service; others were there
from the start. It matters: Packer 1.6.6 asks for 2017-08-01 and reads `compute` as a flat list of strings."""
VERSIONS = ("2017-08-01", "2018-02-01", "2019-03-11", "2020-06-01", "2021-02-01", "2021-12-13", "2025-04-07")


def metadata(world: World, tokens: Tokens, request: Request) -> Response | None:
    """Answer a request to the metadata service; None when the path is not its."""
    path = request.path.rstrip("/").lower()
    if not path.startswith(("/metadata/instance", "/metadata/identity", "/metadata/versions")):
        return None
    refused = _refused(request)
    if refused is not None:
        return refused
    if path == "/metadata/versions":
        return Response(200, {"apiVersions": list(VERSIONS)})
    version = request.query.get("api-version", "")
    if path.startswith("/metadata/identity/oauth2/token"):
        return _token(world, tokens, request)
    if version < OLDEST:
        return Response(
            400,
            {
                "error": "Bad request. api-version was not specified in the request. For more information refer to "
                "aka.ms/azureimds",
                "newest-versions": ["2025-04-07", "2023-11-15", "2023-07-01"],
            },
        )
    found: Any = {"compute": _as_of(version, _compute(world)), "network": _network()}
    for part in [part for part in request.path.split("/") if part][2:]:
        found = _child(found, part)
        if found is None:
            return Response(404, {"error": "Not found"})
    if request.query.get("format", "").lower() == "text" and not isinstance(found, dict | list):
        return Response(200, str(found), {"Content-Type": "text/plain; charset=utf-8"})
    if not isinstance(found, dict | list):
        return Response(400, {"error": "Bad request. requested output format is not supported"})
    return Response(200, found)


def _refused(request: Request) -> Response | None:
    """What keeps other than local programs out: a missing header, a proxy's header."""
    if request.headers.get("metadata", "").lower() != "true":
        return Response(400, {"error": "Bad request. Required metadata header not specified"})
    if "x-forwarded-for" in request.headers:
        return Response(400, {"error": "Bad request. X-Forwarded-For header is not allowed"})
    if request.method != "GET":
        return Response(405, {"error": "Method not allowed"})
    return None


def _child(found: Any, part: str) -> Any:
    if isinstance(found, list):
        return found[int(part)] if part.isdigit() and int(part) < len(found) else None
    if isinstance(found, dict):
        return {name.lower(): value for name, value in found.items()}.get(part.lower())
    return None


def _token(world: World, tokens: Tokens, request: Request) -> Response:
    resource = request.query.get("resource", "")
    if not resource:
        return Response(
            400, {"error": "invalid_request", "error_description": "Required query variable 'resource' is missing"}
        )
    found = _identity(world, request)
    if isinstance(found, str):
        return Response(400, {"error": "invalid_request", "error_description": found})
    token, claims = tokens.issued(found, resource)
    lifetime = str(world.settings.token_lifetime)
    return Response(200, {
        "access_token": token, "client_id": found.client_id, "expires_in": lifetime,
        "expires_on": str(claims["exp"]), "ext_expires_in": lifetime, "not_before": str(claims["nbf"]),
        "resource": resource, "token_type": "Bearer",
    })  # fmt: skip


def _identity(world: World, request: Request) -> Principal | str:
    """The identity of the machine that a request means, or why there is none."""
    here = [each for each in world.settings.all_principals if key(each.vm) == key(world.settings.host_id)]
    asked = [request.query.get(name, "") for name in ("client_id", "object_id", "principal_id")]
    wanted = next((each for each in asked if each), "")
    if wanted:
        return next((each for each in here if wanted in (each.client_id, each.object_id)), "Identity not found")
    own = [each for each in here if not each.user_assigned] or here
    if len(own) > 1:
        return (
            "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the "
            "token request"
        )
    return own[0] if own else "Identity not found"


def _compute(world: World) -> Json:
    machine = world.find("virtualmachines", world.settings.host_id)
    assert machine is not None
    tags: Json = machine.body.get("tags") or {}
    storage = machine.properties["storageProfile"]
    return {
        "azEnvironment": "AzurePublicCloud", "additionalCapabilities": {"hibernationEnabled": "false"},
        "customData": "", "evictionPolicy": "", "isHostCompatibilityLayerVm": "false", "licenseType": "",
        "location": machine.location, "name": machine.name, "offer": "debian-13",
        "osProfile": {
            "adminUsername": "azureuser", "computerName": machine.name, "disablePasswordAuthentication": "true",
        },
        "osType": "Linux", "placementGroupId": "", "plan": {"name": "", "product": "", "publisher": ""},
        "platformFaultDomain": "0", "platformUpdateDomain": "0", "priority": "Regular", "provider": "Microsoft.Compute",
        "publicKeys": [], "publisher": "Debian", "resourceGroupName": machine.id.split("/")[4], "resourceId": machine.id,
        "securityProfile": {"secureBootEnabled": "false", "virtualTpmEnabled": "false"}, "sku": "13-gen2",
        "storageProfile": {
            "dataDisks": [_disk(entry) for entry in storage.get("dataDisks", [])],
            "imageReference": {"id": "", "offer": "debian-13", "publisher": "Debian", "sku": "13-gen2", "version": "latest"},
            "osDisk": {**_disk(storage["osDisk"]), "osType": "Linux"}, "resourceDisk": {"size": "0"},
        },
        "subscriptionId": machine.id.split("/")[2], "tags": ";".join(f"{name}:{value}" for name, value in tags.items()),
        "tagsList": [{"name": name, "value": value} for name, value in tags.items()], "userData": "", "version": "13",
        "virtualMachineScaleSet": {"id": ""}, "vmId": machine.properties["vmId"], "vmScaleSetName": "",
        "vmSize": machine.properties["hardwareProfile"]["vmSize"], "zone": _zone(machine),
    }  # fmt: skip


def _as_of(version: str, compute: Json) -> Json:
    """What a version of the metadata service shows."""
    return {name: value for name, value in compute.items() if ADDED.get(name, "") <= version}


def _disk(entry: Json) -> Json:
    found = {
        "caching": entry["caching"], "createOption": entry["createOption"], "diskSizeGB": str(entry["diskSizeGB"]),
        "image": {"uri": ""}, "managedDisk": entry["managedDisk"], "name": entry["name"], "vhd": {"uri": ""},
        "writeAcceleratorEnabled": "false",
    }  # fmt: skip
    return {**found, "lun": str(entry["lun"])} if "lun" in entry else found


def _zone(machine: Resource) -> str:
    return str((machine.body.get("zones") or [""])[0])


def _network() -> Json:
    address = {"privateIpAddress": "10.0.0.4", "publicIpAddress": ""}
    ipv4 = {"ipAddress": [address], "subnet": [{"address": "10.0.0.0", "prefix": "24"}]}
    return {"interface": [{"ipv4": ipv4, "ipv6": {"ipAddress": []}, "macAddress": "000D3AF806EC"}]}
