"""Everything a client could get wrong is refused, with Azure's status and code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.localarm.conftest import Local, Maker
from tests.localarm.test_operations import definition, snapshot, version_body

from localarm.messages import Request, Response
from localarm.settings import Machine, Principal

WEST = {"location": "westeurope"}
EMPTY = {**WEST, "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4}}


def copy_of(source: str, gb: int | None = None, location: str = "westeurope") -> dict[str, Any]:
    size = {} if gb is None else {"diskSizeGB": gb}
    return {
        "location": location,
        "properties": {"creationData": {"createOption": "Copy", "sourceResourceId": source}, **size},
    }


def attach(local: Local, *disks: str, lun: int | None = None) -> Response:
    wishes = [{"diskId": disk, **({} if lun is None else {"lun": lun})} for disk in disks]
    return local.ask("POST", f"{local.machine}/attachDetachDataDisks", {"dataDisksToAttach": wishes})


def slow(local: Local) -> None:
    local.world.lasts = lambda kind: 60.0


def deleted_while_attached(local: Local) -> Response:
    disk = local.disk("d")
    local.done(attach(local, disk))
    return local.ask("DELETE", disk)


def attached_while_detaching(local: Local) -> Response:
    disk = local.disk("d")
    local.done(attach(local, disk))
    slow(local)
    local.ask("POST", f"{local.machine}/attachDetachDataDisks", {"dataDisksToDetach": [{"diskId": disk}]})
    return attach(local, disk)


def second_write(local: Local) -> Response:
    disks = [local.disk("a"), local.disk("b")]
    slow(local)
    attach(local, disks[0])
    return attach(local, disks[1])


def lun_taken(local: Local) -> Response:
    local.done(attach(local, local.disk("a"), lun=3))
    return attach(local, local.disk("b"), lun=3)


def too_many(local: Local) -> Response:
    return attach(local, *(local.disk(f"d{number}") for number in range(5)))


def stale_etag(local: Local) -> Response:
    local.done(attach(local, local.disk("a")))
    return local.ask("PUT", local.machine, {**WEST, "properties": {}}, if_match='"1"')


def copied_while_small(local: Local) -> Response:
    return local.ask("PUT", f"{local.compute}/disks/e", copy_of(local.disk("d", 8), 4))


def owned_by_another(local: Local) -> Response:
    disk = local.disk("d")
    other = f"{local.compute}/virtualMachines/second"
    local.done(local.ask("POST", f"{other}/attachDetachDataDisks", {"dataDisksToAttach": [{"diskId": disk}]}))
    return attach(local, disk)


def in_another_zone(local: Local) -> Response:
    return attach(local, local.disk("d", zones=["2"]))


def twice_the_same_version(local: Local) -> Response:
    taken = [snapshot(local, name, local.disk(name)) for name in ("s", "t")]
    version = f"{definition(local)}/versions/1.0.0"
    local.done(local.ask("PUT", version, version_body(taken[0])))
    return local.ask("PUT", version, version_body(taken[1]))


def wrong_generation(local: Local) -> Response:
    disk = f"{local.compute}/disks/d"
    body = {**EMPTY, "properties": {**EMPTY["properties"], "osType": "Linux", "hyperVGeneration": "V1"}}  # type: ignore[dict-item]
    local.done(local.ask("PUT", disk, body))
    return local.ask("PUT", f"{definition(local)}/versions/1.0.0", version_body(snapshot(local, "s", disk)))


def regions_without_own(local: Local) -> Response:
    body = version_body(snapshot(local, "s", local.disk("d")), [{"name": "eastus"}])
    return local.ask("PUT", f"{definition(local)}/versions/1.0.0", body)


def gallery_with_definitions(local: Local) -> Response:
    return local.ask("DELETE", definition(local).rpartition("/images/")[0])


def disk_of_a_vanished_source(local: Local) -> Response:
    return local.ask("PUT", f"{local.compute}/disks/e", copy_of(f"{local.compute}/snapshots/none"))


def image_of_a_vanished_source(local: Local) -> Response:
    return local.ask("PUT", f"{local.compute}/images/i", image_of(f"{local.compute}/snapshots/none"))


def image_of(source: str, **properties: Any) -> dict[str, Any]:
    disk = {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": source}}
    return {**WEST, "properties": {"storageProfile": {"osDisk": disk}, **properties}}


def image_without_generation(local: Local) -> Response:
    return local.ask("PUT", f"{local.compute}/images/i", image_of(snapshot(local, "s", local.disk("d"))))


def in_a_region_without_zones(local: Local) -> Response:
    return local.ask("PUT", f"{local.compute}/disks/d", {**EMPTY, "location": "westus", "zones": ["1"]})


def in_a_zone_that_is_none(local: Local) -> Response:
    return local.ask("PUT", f"{local.compute}/disks/d", {**EMPTY, "zones": ["9"]})


def with_storage(local: Local, location: str, sku: str) -> Response:
    return local.ask("PUT", f"{local.compute}/disks/d", {**EMPTY, "location": location, "sku": {"name": sku}})


def snapshot_on_foreign_storage(local: Local) -> Response:
    body = {**copy_of(local.disk("d")), "sku": {"name": "StandardSSD_LRS"}}
    return local.ask("PUT", f"{local.compute}/snapshots/s", body)


def generalized_while_running(local: Local) -> Response:
    return local.ask("POST", f"{local.compute}/virtualMachines/second/generalize")


def without_parent(local: Local) -> Response:
    return local.ask("PUT", f"{local.compute}/galleries/none/images/i", WEST)


def over_quota(local: Local) -> Response:
    for number in range(20):
        answer = local.ask("PUT", f"{local.compute}/disks/d{number}", EMPTY)
        if answer.status != 202:
            return answer
    raise AssertionError("there is no quota")


def attached_twice_at_once(local: Local) -> Response:
    disk = local.disk("d")
    return attach(local, disk, disk.upper())


def attached_again(local: Local) -> Response:
    disk = local.disk("d")
    local.done(attach(local, disk))
    return attach(local, disk)


def on_mars(local: Local) -> Response:
    return local.ask("PUT", f"{local.compute}/disks/d", {**EMPTY, "location": "mars"})


def copied_to_another_region(local: Local) -> Response:
    return local.ask("PUT", f"{local.compute}/disks/e", copy_of(local.disk("d"), location="eastus"))


def too_old_for_attach_detach(local: Local) -> Response:
    return local.ask("POST", f"{local.machine}/attachDetachDataDisks?api-version=2023-03-01", {})


def new_machine(local: Local, name: str, os_disk: str, *data_disks: str) -> Response:
    storage = {
        "osDisk": {"createOption": "Attach", "osType": "Linux", "managedDisk": {"id": os_disk}},
        "dataDisks": [
            {"lun": lun, "createOption": "Attach", "managedDisk": {"id": each}} for lun, each in enumerate(data_disks)
        ],
    }
    properties = {"hardwareProfile": {"vmSize": "Standard_D2s_v5"}, "storageProfile": storage}
    return local.ask("PUT", f"{local.compute}/virtualMachines/{name}", {**WEST, "properties": properties})


def os_disk_of_two_machines(local: Local) -> Response:
    disk = local.disk("d")
    slow(local)
    assert new_machine(local, "x", disk).status == 201
    return new_machine(local, "y", disk)


def os_disk_of_another_machine(local: Local) -> Response:
    disk = local.disk("d")
    slow(local)
    assert new_machine(local, "x", disk).status == 201
    return attach(local, disk)


def os_disk_and_data_disk(local: Local) -> Response:
    disk = local.disk("d")
    return new_machine(local, "x", disk, disk)


def own_os_disk(local: Local) -> Response:
    storage = local.ask("GET", local.machine).payload["properties"]["storageProfile"]
    return attach(local, storage["osDisk"]["managedDisk"]["id"])


def made_too_small(local: Local, disks: int = 5) -> Response:
    second = f"{local.compute}/virtualMachines/second"

    def sized(size: str) -> Response:
        return local.ask("PATCH", second, {"properties": {"hardwareProfile": {"vmSize": size}}})

    local.done(sized("Standard_D8s_v5"))
    wishes = {"dataDisksToAttach": [{"diskId": local.disk(f"d{number}")} for number in range(disks)]}
    local.done(local.ask("POST", f"{second}/attachDetachDataDisks", wishes))
    return sized("Standard_D2s_v5")


def written_while_deleted(local: Local) -> Response:
    second = f"{local.compute}/virtualMachines/second"
    slow(local)
    local.ask("DELETE", second)
    return local.ask("PUT", second, {**WEST, "properties": {}})


def vanished_with_etag(local: Local) -> Response:
    second = f"{local.compute}/virtualMachines/second"
    local.done(local.ask("DELETE", second))
    return local.ask("PUT", second, {**WEST, "properties": {}}, if_match='"1"')


CASES: list[tuple[Callable[[Local], Response], int, str]] = [
    (deleted_while_attached, 409, "OperationNotAllowed"),
    (attached_while_detaching, 409, "AttachDiskWhileBeingDetached"),
    (second_write, 409, "Conflict"),
    (lun_taken, 400, "InvalidParameter"),
    (attached_twice_at_once, 400, "InvalidParameter"),
    (attached_again, 400, "InvalidParameter"),
    (too_many, 409, "OperationNotAllowed"),
    (stale_etag, 412, "PreconditionFailed"),
    (vanished_with_etag, 412, "PreconditionFailed"),
    (lambda local: local.ask("PUT", local.machine, WEST, if_none_match="*"), 412, "PreconditionFailed"),
    (os_disk_of_two_machines, 409, "ConflictingUserInput"),
    (os_disk_of_another_machine, 409, "ConflictingUserInput"),
    (os_disk_and_data_disk, 400, "InvalidParameter"),
    (own_os_disk, 400, "InvalidParameter"),
    (made_too_small, 409, "OperationNotAllowed"),
    (written_while_deleted, 409, "OperationNotAllowed"),
    (copied_while_small, 400, "BadRequest"),
    (owned_by_another, 409, "ConflictingUserInput"),
    (in_another_zone, 400, "BadRequest"),
    (twice_the_same_version, 409, "PropertyChangeNotAllowed"),
    (wrong_generation, 409, "OperationNotAllowed"),
    (regions_without_own, 400, "InvalidParameter"),
    (gallery_with_definitions, 409, "CannotDeleteResource"),
    (disk_of_a_vanished_source, 404, "NotFound"),
    (image_of_a_vanished_source, 404, "NotFound"),
    (image_without_generation, 400, "InvalidParameter"),
    (in_a_region_without_zones, 400, "LocationNotSupportAvailabilityZones"),
    (in_a_zone_that_is_none, 400, "InvalidAvailabilityZone"),
    (lambda local: with_storage(local, "westus", "StandardSSD_ZRS"), 400, "InvalidParameter"),
    (lambda local: with_storage(local, "westeurope", "Foo_LRS"), 400, "InvalidParameter"),
    (lambda local: local.ask("PATCH", local.disk("d"), {"sku": {"name": "Foo_LRS"}}), 400, "InvalidParameter"),
    (snapshot_on_foreign_storage, 400, "InvalidParameter"),
    (generalized_while_running, 409, "OperationNotAllowed"),
    (without_parent, 404, "ParentResourceNotFound"),
    (over_quota, 409, "OperationNotAllowed"),
    (lambda local: local.ask("GET", f"{local.compute}/disks/none"), 404, "ResourceNotFound"),
    (lambda local: local.ask("PUT", f"{local.compute}/disks/d", {"properties": {}}), 400, "LocationRequired"),
    (on_mars, 400, "LocationNotAvailableForResourceType"),
    (lambda local: local.ask("PUT", f"{local.compute}/disks/-d", EMPTY), 400, "InvalidParameter"),
    (copied_to_another_region, 400, "BadRequest"),
    (lambda local: local.ask("GET", local.group.replace("gilder-local", "none")), 404, "ResourceGroupNotFound"),
    (lambda local: local.ask("PUT", f"{definition(local)}/versions/latest", WEST), 400, "InvalidParameter"),
    (lambda local: local.ask("GET", f"{local.machine}?api-version="), 400, "MissingApiVersionParameter"),
    (lambda local: local.ask("GET", f"{local.machine}?api-version=new"), 400, "InvalidApiVersionParameter"),
    (too_old_for_attach_detach, 400, "NoRegisteredProviderFound"),
    (lambda local: local.ask("GET", f"{local.disk('d')}?api-version=2024-07-01"), 400, "NoRegisteredProviderFound"),
    (lambda local: local.ask("GET", f"{local.machine}?api-version=2024-03-02"), 400, "NoRegisteredProviderFound"),
    (lambda local: local.ask("GET", f"{local.compute}/disks?api-version=2024-05-17"), 404, "InvalidResourceType"),
    (lambda local: attach(local, f"{local.compute}/disks/none"), 404, "NotFound"),
    (lambda local: local.ask("POST", f"{local.machine}/deallocate"), 409, "OperationNotAllowed"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "status", "code"), CASES)
def test_a_wrong_request_is_refused(
    make_local: Maker, wrong: Callable[[Local], Response], status: int, code: str
) -> None:
    small = "Standard_D2s_v5"
    machines = (
        Machine("build-host", "gilder-local", "westeurope", small),
        Machine("second", "gilder-local", "westeurope", small),
    )
    local = make_local(machines=machines, disk_quota=12)
    before = len(local.world.blobs.names())
    answer = wrong(local)
    assert (answer.status, answer.payload["error"]["code"]) == (status, code), answer.payload
    assert before == 0
    referred = {each.blob for kind in local.world.kinds() for each in local.world.all(kind) if each.blob}
    hidden = {
        blob
        for kind in local.world.kinds()
        for each in local.world.all(kind)
        for blob in each.hidden.get("blobs", {}).values()
    }
    assert set(local.world.blobs.names()) == referred | hidden, "a refused request leaves a blob behind"


def test_a_disk_that_is_to_shrink_stays_as_it_is(local: Local) -> None:
    """Azure accepts it, and then the operation fails (recorded)."""
    disk = local.disk("d", 8)
    taken = snapshot(local, "s", disk)
    for each in (disk, taken):
        before = local.ask("GET", each).payload
        smaller = local.ask("PATCH", each, {"properties": {"diskSizeGB": 4}})
        assert (smaller.status, smaller.payload["properties"]["provisioningState"]) == (202, "Updating")
        failed = local.done(smaller)
        assert (failed["status"], failed["error"]["code"]) == ("Failed", "InvalidParameter")
        assert local.ask("GET", each).payload == before


def test_a_disk_can_be_deleted_while_it_is_being_attached(local: Local) -> None:
    """Azure lets it happen: the machine lists a disk that is no more, until it is detached (kubernetes issue 82714)."""
    disk = local.disk("d")
    slow(local)
    attached = attach(local, disk)
    assert local.done(local.ask("DELETE", disk))["status"] == "Succeeded"
    assert [each["law"] for each in local.world.violations] == ["deleted-while-attaching"]
    assert local.done(attached)["status"] == "Succeeded"
    assert [each["name"] for each in local.listed()] == ["d"]
    detach = {"dataDisksToDetach": [{"diskId": disk}]}
    assert local.done(local.ask("POST", f"{local.machine}/attachDetachDataDisks", detach))["status"] == "Succeeded"
    assert local.listed() == []


def test_an_image_has_the_generation_of_its_source(local: Local) -> None:
    disk = f"{local.compute}/disks/d"
    body = {**EMPTY, "properties": {**EMPTY["properties"], "hyperVGeneration": "V2"}}  # type: ignore[dict-item]
    local.done(local.ask("PUT", disk, body))
    image = f"{local.compute}/images/i"
    local.done(local.ask("PUT", image, image_of(snapshot(local, "s", disk))))
    assert local.ask("GET", image).payload["properties"]["hyperVGeneration"] == "V2"
    assert "hyperVGeneration" not in local.ask("GET", f"{image}?api-version=2018-06-01").payload["properties"]


def test_a_disk_given_to_a_machine_without_hardware_is_reserved(make_local: Maker) -> None:
    machines = tuple(
        Machine(name, "gilder-local", "westeurope", "Standard_D2s_v5") for name in ("build-host", "second")
    )
    local = make_local(machines=machines)
    second = f"{local.compute}/virtualMachines/second"
    local.done(local.ask("POST", f"{second}/deallocate"))
    disk = local.disk("d")
    local.done(local.ask("POST", f"{second}/attachDetachDataDisks", {"dataDisksToAttach": [{"diskId": disk}]}))
    assert local.ask("GET", disk).payload["properties"]["diskState"] == "Reserved"


def test_first_tags_come_to_their_place(local: Local) -> None:
    """In the order in which the services write a document, whatever it is."""
    disk = local.disk("d")
    gallery = definition(local).rpartition("/images/")[0]
    for each in (disk, snapshot(local, "s", disk), gallery, f"{gallery}/images/def"):
        local.done(local.ask("PATCH", each, {"tags": {"a": "b"}}))
        members = list(local.ask("GET", each).payload)
        assert members.index("tags") == 4, members
        assert members[-1] == "properties", members


def test_the_later_write_preempts_where_that_is_chosen(make_local: Maker) -> None:
    local = make_local(concurrent_writes="preempt")
    disks = [local.disk("a"), local.disk("b")]
    slow(local)
    first, second = attach(local, disks[0]), attach(local, disks[1])
    assert local.done(first)["error"]["code"] == "OperationPreempted"
    assert local.done(second)["status"] == "Succeeded"
    assert sorted(local.world.devices.attached()) == [0, 1]


def test_no_write_preempts_a_deletion(make_local: Maker) -> None:
    host, second = (Machine(name, "gilder-local", "westeurope", "Standard_D2s_v5") for name in ("build-host", "second"))
    local = make_local(concurrent_writes="preempt", machines=(host, second))
    path = f"{local.compute}/virtualMachines/second"
    slow(local)
    deletion = local.ask("DELETE", path)
    assert local.ask("PATCH", path, {"tags": {}}).payload["error"]["code"] == "OperationNotAllowed"
    assert local.done(deletion)["status"] == "Succeeded"


def test_access_that_nobody_has_is_revoked_without_effect(local: Local) -> None:
    disk = local.disk("d")
    local.done(attach(local, disk))
    local.done(local.ask("POST", f"{disk}/endGetAccess"))
    assert local.ask("GET", disk).payload["properties"]["diskState"] == "Attached"


def test_a_smaller_size_that_takes_the_disks_is_fine(make_local: Maker) -> None:
    host, second = (Machine(name, "gilder-local", "westeurope", "Standard_D2s_v5") for name in ("build-host", "second"))
    assert made_too_small(make_local(machines=(host, second)), disks=4).status == 200


def test_a_machine_in_another_subscription_is_there(make_local: Maker) -> None:
    far = "aaaaaaaa-1111-4222-8333-444444444444"
    host = Machine("build-host", "gilder-local", "westeurope", "Standard_D2s_v5")
    local = make_local(machines=(host, Machine("far", "there", "northeurope", "Standard_D4s_v5", subscription=far)))
    path = f"/subscriptions/{far}/resourceGroups/there/providers/Microsoft.Compute/virtualMachines/far"
    assert local.ask("GET", path).status == 200
    assert local.ask("GET", "/subscriptions").payload["count"]["value"] == 2
    answer = attach_elsewhere(local, path)
    assert (answer.status, answer.payload["error"]["code"]) == (400, "BadRequest"), "another region"


def attach_elsewhere(local: Local, machine: str) -> Response:
    return local.ask("POST", f"{machine}/attachDetachDataDisks", {"dataDisksToAttach": [{"diskId": local.disk("d")}]})


def test_a_zonal_machine_takes_disks_of_its_zone_only(make_local: Maker) -> None:
    local = make_local(vm_zone="1")
    assert attach(local, local.disk("regional")).status == 400
    assert attach(local, local.disk("other", zones=["2"])).status == 400
    assert attach(local, local.disk("zonal", zones=["1"])).status == 200


def bare(local: Local, **headers: str) -> Response:
    return local.application.handle(Request("GET", local.machine, {"api-version": "2024-07-01"}, headers))


def test_who_has_no_token_is_told_the_tenant(local: Local) -> None:
    answer = bare(local)
    assert answer.status == 401
    assert (
        f'authorization_uri="https://login.microsoftonline.com/{local.world.settings.tenant}"'
        in answer.headers["WWW-Authenticate"]
    )


def test_a_token_that_is_forged_or_over_is_refused(local: Local) -> None:
    local.ask("GET", local.machine)
    assert (
        bare(local, authorization=f"Bearer {local.token[:-2]}xx").payload["error"]["code"]
        == "InvalidAuthenticationToken"
    )
    local.clock.now += 100_000
    assert bare(local, authorization=f"Bearer {local.token}").payload["error"]["code"] == "ExpiredAuthenticationToken"
    principal = local.world.settings.all_principals[0]
    elsewhere, _ = local.application.tokens.issued(principal, "https://vault.azure.net")
    code = bare(local, authorization=f"Bearer {elsewhere}").payload["error"]["code"]
    assert code == "InvalidAuthenticationTokenAudience"


def test_who_may_read_may_not_write(make_local: Maker) -> None:
    group = "/subscriptions/5b5c7d2e-8f3a-4d6b-9c1e-2f4a6b8c0d1e/resourceGroups/gilder-local"
    local = make_local(principals=(Principal("app", "object", "secret", ((group, "Reader"),)),))
    assert local.ask("GET", local.machine).status == 200
    answer = local.ask("PUT", f"{local.compute}/disks/d", EMPTY)
    assert (answer.status, answer.payload["error"]["code"]) == (403, "AuthorizationFailed")
    assert "'Microsoft.Compute/disks/write'" in answer.payload["error"]["message"]


def test_a_client_secret_buys_a_token(local: Local) -> None:
    settings = local.world.settings
    app = next(each for each in settings.all_principals if each.secret)

    def login(secret: str) -> Response:
        form = f"grant_type=client_credentials&client_id={app.client_id}&client_secret={secret}&scope=https://management.azure.com/.default"
        return local.application.handle(Request("POST", f"/{settings.tenant}/oauth2/v2.0/token", body=form.encode()))

    assert login("wrong").payload["error_codes"] == [7000215]
    answer = login(app.secret)
    assert bare(local, authorization=f"Bearer {answer.payload['access_token']}").status == 200


@pytest.mark.parametrize(
    ("path", "status", "code", "known"),
    [
        ("GROUP/providers/Microsoft.Compute/disks/none", 400, "NoRegisteredProviderFound", "2022-03-02, 2022-07-02"),
        ("GROUP/providers/Microsoft.Compute/disks", 404, "InvalidResourceType", "2022-03-02, 2022-07-02"),
        (
            "SUBSCRIPTION/providers/Microsoft.Compute/skus",
            404,
            "InvalidResourceType",
            "2019-04-01, 2021-07-01",
        ),
        ("SUBSCRIPTION/resourceGroups", 400, "InvalidApiVersionParameter", "2023-07-01,2022-12-01"),
    ],
)
def test_a_cloud_that_lags_behind_lists_what_it_has(
    make_local: Maker, path: str, status: int, code: str, known: str
) -> None:
    local = make_local(newest_api="2023-09-30")
    path = path.replace("GROUP", local.group).replace("SUBSCRIPTION", local.group.rpartition("/resourceGroups")[0])
    answer = local.ask("GET", f"{path}?api-version=2024-07-01")
    assert (answer.status, answer.payload["error"]["code"]) == (status, code)
    assert known in answer.payload["error"]["message"]
    assert "2024" not in answer.payload["error"]["message"].replace("2024-07-01", "", 1)
    older = known.replace(",", " ").split()[-1]
    assert local.ask("GET", f"{path}?api-version={older}").status in (200, 404)


def test_what_is_refused_was_not_done(local: Local) -> None:
    """A violation is of what happened: the deletion of a disk that is being attached and changed as well does not."""
    disk = local.disk("d")
    slow(local)
    attach(local, disk)
    assert local.ask("PATCH", disk, {"tags": {"a": "b"}}).status == 202
    assert local.ask("DELETE", disk).status == 409
    assert local.world.violations == []


def test_a_new_data_disk_has_a_lun(local: Local) -> None:
    disks = [{"createOption": "Empty", "diskSizeGB": 1, "name": "d"}]
    answer = local.ask("PUT", local.machine, {**WEST, "properties": {"storageProfile": {"dataDisks": disks}}})
    assert (answer.status, answer.payload["error"]["target"]) == (400, "dataDisk.lun")
