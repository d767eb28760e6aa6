"""The roles of docs/permissions.md are enough, and none of their actions is too much."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.localarm.conftest import version_for
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import VM, Place, image_spec, placed

from gilder.azure.metadata import Machine
from gilder.build import permissions
from gilder.build.permissions import Need, Role, needs_of
from gilder.model.ids import ArmId
from gilder.model.outcomes import Built, Failed, Outcome
from gilder.model.spec import BuildSpec, GalleryDestination, GalleryVersion, ManagedDisk
from localarm.faults import Fault
from localarm.messages import Request
from localarm.settings import APPLICATION, APPLICATION_SECRET, SUBSCRIPTION, Principal
from localarm.settings import Role as LocalRole

MACHINE = Machine(VM, "westeurope", "", "Standard_D32s_v5")
OWNER = Principal("owner", "owner-object", roles=((f"/subscriptions/{SUBSCRIPTION}", "Owner"),))
DOCUMENT = (Path(__file__).parents[2] / "docs" / "permissions.md").read_text()


def compute(group: str, rest: str) -> ArmId:
    return ArmId.parse(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Compute/{rest}")


SOURCE_DISK = compute("sources", "disks/source")
SOURCE_VERSION = compute("sources", "galleries/sources/images/linux/versions/1.0.0")
IMAGE = compute("images", "images/result")
DESTINATION = GalleryDestination(
    resource_group="results", gallery_name="results", image_name="linux", image_version="1.0.0"
)
PLATFORM_TO_IMAGE = image_spec("result").model_copy(update={"image_resource_id": IMAGE})
SPECS = {
    "platform-to-image": PLATFORM_TO_IMAGE,
    "disk-to-version": PLATFORM_TO_IMAGE.model_copy(
        update={
            "source": ManagedDisk(SOURCE_DISK),
            "image_resource_id": None,
            "shared_image_destination": DESTINATION,
        }
    ),
    "version-to-image": PLATFORM_TO_IMAGE.model_copy(update={"source": GalleryVersion(SOURCE_VERSION)}),
    "scratch-to-image": PLATFORM_TO_IMAGE.model_copy(
        update={"source": None, "from_scratch": True, "os_disk_size_gb": 1}
    ),
    "encrypted": PLATFORM_TO_IMAGE.model_copy(
        update={
            "disk_encryption_set_id": compute("keys", "diskEncryptionSets/set"),
            "temporary_os_disk_id": compute("results", "disks/temporary"),
        }
    ),
}
OWN = {
    "platform-to-image": (
        permissions.SIZES,
        permissions.MACHINE,
        permissions.PLATFORM_SOURCE,
        permissions.IMAGE_DESTINATION,
    ),
    "disk-to-version": (permissions.DISK_SOURCE, permissions.VERSION_DESTINATION),
    "version-to-image": (permissions.VERSION_SOURCE,),
    "encrypted": (permissions.ENCRYPTION,),
}
"""The roles that each scenario tries: together they are all."""
ONLY_AFTER_A_FAILURE = {
    "Microsoft.Compute/images/delete": Fault("fail", "PUT", "images"),
    "Microsoft.Compute/galleries/images/versions/delete": Fault("fail", "PUT", "galleries/images/versions"),
    "Microsoft.Compute/disks/read": Fault("lose", "PUT", "disks"),
    "Microsoft.Compute/snapshots/read": Fault("lose", "PUT", "snapshots"),
}
"""Actions that some builds use only when something goes wrong, and such a thing."""


@dataclass(frozen=True)
class Tried:
    """How a build ended, all that it told, and the actions it used."""

    outcome: Outcome
    told: str
    used: frozenset[tuple[str, str]]


def tried(folder: Path, spec: BuildSpec, needs: tuple[Need, ...], fault: Fault | None = None) -> Tried:
    """Build with these roles and no others."""
    roles = tuple(LocalRole(f"role{n}", tuple(need.role.actions)) for n, need in enumerate(needs))
    assigned = tuple((need.scope, f"role{n}") for n, need in enumerate(needs))
    builder = Principal(APPLICATION, "builder-object", APPLICATION_SECRET, assigned)
    groups = tuple((SUBSCRIPTION, name, "westeurope") for name in ("sources", "images", "results"))

    async def main() -> Tried:
        settings: dict[str, Any] = {"principals": (builder, OWNER), "roles": roles, "other_groups": groups}
        async with placed(folder, throttle=False, **settings) as place:
            _furnish(place)
            await anyio.sleep(1)  # a gallery image version is Creating for a moment at least, and then no source yet
            place.application.audit.clear()
            if fault is not None:
                place.application.faults.add(fault)
            (outcome,) = await place.build([spec])
            told = f"{outcome} {place.events}"
            assert place.plugs.attached() == {}
            assert place.plugs.violations == []
            return Tried(outcome, told, frozenset(_used(place)))

    return in_virtual_time(main)[0]


def _used(place: Place) -> Iterator[tuple[str, str]]:
    for entry in place.application.audit:
        yield from map(tuple, entry.get("actions", ()))


def _furnish(place: Place) -> None:
    """What must be there before: a disk, and galleries with definitions, one with a version. Made at once."""
    lasts, place.world.lasts = place.world.lasts, lambda kind: 0.0
    _put(place, SOURCE_DISK, {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1})
    for group in ("sources", "results"):
        _put(place, compute(group, f"galleries/{group}"), {})
        identifier = {"publisher": "p", "offer": "o", "sku": "s"}
        definition = {"osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V1", "identifier": identifier}
        _put(place, compute(group, f"galleries/{group}/images/linux"), definition)
    regions = [{"name": "westeurope"}]
    storage = {"osDiskImage": {"source": {"id": str(SOURCE_DISK)}}}
    _put(place, SOURCE_VERSION, {"publishingProfile": {"targetRegions": regions}, "storageProfile": storage})
    place.world.lasts = lasts


def _put(place: Place, target: ArmId, properties: dict[str, Any]) -> None:
    token, _ = place.application.tokens.issued(OWNER, "https://management.azure.com/")
    body = json.dumps({"location": "westeurope", "properties": properties}).encode()
    headers = {"authorization": f"Bearer {token}"}
    answer = place.application.handle(
        Request("PUT", str(target), {"api-version": version_for(str(target))}, headers, body)
    )
    assert answer.status < 300, answer.payload
    place.world.advance()


@pytest.mark.parametrize("name", SPECS)
def test_with_the_roles_a_build_passes_and_uses_nothing_else(tmp_path: Path, name: str) -> None:
    needs = needs_of(SPECS[name], MACHINE)
    found = tried(tmp_path, SPECS[name], needs)
    assert isinstance(found.outcome, Built), found.told
    assert found.outcome.residues == ()
    documented = {action for need in needs for action in need.role.actions}
    used = {action for action, _ in found.used}
    assert used <= documented
    assert documented - used <= ONLY_AFTER_A_FAILURE.keys(), "documented, and not needed"


def removals() -> list[Any]:
    return [
        pytest.param(name, role, action, id=f"{role.name}-{action.removeprefix('Microsoft.Compute/')}")
        for name, roles in OWN.items()
        for role in roles
        for action in role.actions
    ]


@pytest.mark.parametrize(("name", "role", "action"), removals())
def test_without_any_one_action_it_fails_and_names_it(tmp_path: Path, name: str, role: Role, action: str) -> None:
    less = replace(role, actions={each: why for each, why in role.actions.items() if each != action})
    needs = tuple(replace(need, role=less) if need.role == role else need for need in needs_of(SPECS[name], MACHINE))
    fault = ONLY_AFTER_A_FAILURE.get(action)
    found = tried(tmp_path, SPECS[name], needs, fault)
    assert isinstance(found.outcome, Failed) or found.outcome.residues, "a build without the action is not clean"
    assert action.lower() in found.told.lower()
    if isinstance(found.outcome, Failed) and fault is None:
        assert "az role assignment create --assignee builder-object --role" in str(found.outcome.hint)


def test_the_document_shows_the_roles() -> None:
    shown = {role["Name"]: role for role in map(json.loads, re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL))}
    assert {name: tuple(role["Actions"]) for name, role in shown.items()} == {
        role.name: tuple(role.actions) for role in permissions.ROLES
    }
    for role in permissions.ROLES:
        assert role.where in DOCUMENT
        for action, why in role.actions.items():
            assert f"| `{action}` | {why} |" in DOCUMENT
