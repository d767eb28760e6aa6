"""Faults, limits and durations: what goes wrong on purpose, and how slow things are."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.localarm.conftest import Local, Maker, Patient
from tests.localarm.invariants import check_world
from tests.localarm.test_laws import EMPTY, attach
from tests.localarm.test_operations import definition, platform, version_body

from localarm.catalogue import CatalogueError, PlatformImage
from localarm.faults import Fault
from localarm.latency import Latency, figures
from localarm.messages import Request, Response
from localarm.settings import Machine


def put(local: Local, name: str = "d") -> str:
    return f"{local.compute}/disks/{name}"


def test_the_nth_matching_request_is_refused(local: Local) -> None:
    armed = local.application.faults.add(Fault("refuse", "PUT", "disks", nth=2, status=503, code="ServerTimeout"))
    answers = [local.ask("PUT", put(local, name), EMPTY).status for name in "abc"]
    assert answers == [202, 503, 202]
    assert (armed.seen, armed.fired) == (3, 1)
    assert local.ask("GET", put(local, "b")).status == 404


def test_an_answer_is_lost_after_the_effect(local: Local) -> None:
    local.application.faults.add(Fault("lose", "PUT", "disks"))
    assert local.ask("PUT", put(local), EMPTY).fate == "reset"
    assert local.ask("GET", put(local)).status == 200


def test_a_connection_drops_before_the_effect(local: Local) -> None:
    local.application.faults.add(Fault("drop", "PUT", "disks"))
    assert local.ask("PUT", put(local), EMPTY).fate == "reset"
    assert local.ask("GET", put(local)).status == 404


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [("fail", "Failed", "Boom"), ("cancel", "Canceled", "Boom"), ("preempt", "Canceled", "OperationPreempted")],
)
def test_an_operation_ends_badly(local: Local, what: str, status: str, code: str) -> None:
    local.application.faults.add(Fault.parsed({"what": what, "method": "PUT", "kind": "disks", "code": "Boom"}))
    body = local.done(local.ask("PUT", put(local), EMPTY))
    assert (body["status"], body["error"]["code"]) == (status, code)
    assert local.ask("GET", put(local)).payload["properties"]["provisioningState"] == "Failed"


def _creations(local: Local) -> dict[str, tuple[str, dict[str, Any]]]:
    """A resource of each kind with content: its path and the body that creates it."""
    source = local.disk("source")

    def disk(**creation: Any) -> dict[str, Any]:
        size = {"diskSizeGB": 1} if creation["createOption"] == "Empty" else {}
        return {"location": "westeurope", "properties": {"creationData": creation, **size}}

    copy = disk(createOption="Copy", sourceResourceId=source)
    os_disk = {"osType": "Linux", "managedDisk": {"id": source}}
    image = {"location": "westeurope", "properties": {"storageProfile": {"osDisk": os_disk}, "hyperVGeneration": "V2"}}
    return {
        "empty disk": (put(local), disk(createOption="Empty")),
        "disk of a platform image": (
            put(local),
            disk(createOption="FromImage", imageReference={"id": platform(local)}),
        ),
        "copied disk": (put(local), copy),
        "snapshot": (f"{local.compute}/snapshots/s", copy),
        "image": (f"{local.compute}/images/i", image),
        "version": (f"{definition(local)}/versions/1.0.0", version_body(source)),
    }


KINDS = ("empty disk", "disk of a platform image", "copied disk", "snapshot", "image", "version")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_failed_creation_left_is_created_anew(make_local: Maker, kind: str) -> None:
    local = make_local(latency="median")
    path, body = _creations(local)[kind]
    local.application.faults.add(Fault("fail", "PUT", code="RetryableError"))
    assert local.done(local.ask("PUT", path, body))["status"] == "Failed"
    first = local.ask("GET", path).payload["properties"]
    assert first["provisioningState"] == "Failed"
    again = local.ask("PUT", path, body)
    assert local.ask("PUT", path, body).status == 409  # it is being created
    assert local.done(again)["status"] == "Succeeded"
    second = local.ask("GET", path).payload["properties"]
    assert second["provisioningState"] == "Succeeded"
    assert "uniqueId" not in second or second["uniqueId"] != first["uniqueId"]
    assert local.done(local.ask("PUT", path, {**body, "tags": {"a": "b"}}))["status"] == "Succeeded"  # an update now
    assert local.ask("GET", path).payload["properties"].get("uniqueId") == second.get("uniqueId")
    check_world(local.world)


def test_what_a_failed_creation_left_cannot_be_used_and_can_be_deleted(make_local: Maker) -> None:
    local = make_local(latency="median")
    path, body = _creations(local)["empty disk"]
    local.application.faults.add(Fault("fail", "PUT"))
    local.done(local.ask("PUT", path, body))
    assert local.ask("PATCH", path, {"properties": {"diskSizeGB": 2}}).status == 409
    copy = {
        "location": "westeurope",
        "properties": {"creationData": {"createOption": "Copy", "sourceResourceId": path}},
    }
    assert local.ask("PUT", f"{local.compute}/snapshots/s", copy).status == 409
    refused = {"location": "westeurope", "properties": {"creationData": {"createOption": "Empty"}}}
    assert local.ask("PUT", path, refused).status == 400
    check_world(local.world)  # the refused creation took nothing away
    deleting = local.ask("DELETE", path)
    assert local.ask("PUT", path, body).status == 409
    assert local.done(deleting)["status"] == "Succeeded"
    check_world(local.world)


def test_a_failed_update_takes_no_content_away(local: Local) -> None:
    disk = local.disk("d")
    blob = local.world.find("disks", disk).blob
    local.application.faults.add(Fault("fail", "PATCH"))
    assert local.done(local.ask("PATCH", disk, {"tags": {"a": "b"}}))["status"] == "Failed"
    assert local.done(local.ask("PUT", disk, EMPTY))["status"] == "Succeeded"
    assert local.world.find("disks", disk).blob == blob
    check_world(local.world)


def test_a_platform_image_that_cannot_be_made_fails_the_disk_with_the_reason(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, body = _creations(local)["disk of a platform image"]
    reason = "mmdebstrap is missing; it comes with the Debian package mmdebstrap"

    def fails(image: PlatformImage, wanted: Callable[[], bool]) -> Path:
        raise CatalogueError(reason)

    with monkeypatch.context() as patched:
        patched.setattr(local.world.catalogue, "blob", fails)
        for _ in range(2):
            ended = local.done(local.ask("PUT", path, body))
            assert (ended["status"], ended["error"]["code"]) == ("Failed", "OperationNotAllowed")
            assert reason in ended["error"]["message"]
    assert local.done(local.ask("PUT", path, body))["status"] == "Succeeded"
    check_world(local.world)


def test_a_disk_whose_platform_image_is_being_made_can_be_deleted(local: Local) -> None:
    """With the real one, Ctrl-C had to wait for a minute; what comes of the making afterwards is nobody's."""
    path, body = _creations(local)["disk of a platform image"]
    jobs: list[tuple[Callable[[], None], Callable[[BaseException | None], None]]] = []
    local.world._workshop = lambda job, over: jobs.append((job, over))
    creating = local.ask("PUT", path, body)
    blob = local.world.find("disks", path).blob
    assert local.world.wanted(blob)
    deleting = local.ask("DELETE", path)
    assert deleting.status == 202
    assert not local.world.wanted(blob)
    ended = local.done(creating)
    assert (ended["status"], ended["error"]["code"]) == ("Canceled", "OperationPreempted")
    assert local.done(deleting)["status"] == "Succeeded"
    ((job, over),) = jobs
    job()  # it was about to end
    over(None)
    local.ask("GET", path)
    assert not local.world.blobs.exists(blob)
    check_world(local.world)


def test_a_failed_attach_is_healed_by_an_empty_write(local: Local) -> None:
    disk = local.disk("d")
    local.application.faults.add(Fault("fail", kind="virtualmachines/attachdetachdatadisks"))
    assert local.done(attach(local, disk))["status"] == "Failed"
    assert local.ask("GET", local.machine).payload["properties"]["provisioningState"] == "Failed"
    local.done(local.ask("PUT", local.machine, {"location": "westeurope", "properties": {}}))
    assert local.ask("GET", disk).payload["properties"]["diskState"] == "Attached"


def test_a_read_is_stale(local: Local) -> None:
    disk = local.disk("d")
    local.done(local.ask("PATCH", disk, {"tags": {"new": "1"}}))
    local.done(local.ask("PATCH", disk, {"tags": {"newer": "1"}}))
    local.application.faults.add(Fault("stale", "GET", "disks"))
    assert local.ask("GET", disk).payload["properties"]["provisioningState"] == "Updating"
    assert local.ask("GET", disk).payload["properties"]["provisioningState"] == "Succeeded"


def test_a_device_never_appears_or_late(local: Local) -> None:
    disks = [local.disk("a"), local.disk("b")]
    local.application.faults.add(Fault("device-never", "POST"))
    local.application.faults.add(Fault("device-late", "POST", nth=2, seconds=30))
    for disk in disks:
        assert local.done(attach(local, disk))["status"] == "Succeeded"
    assert not local.world.devices.attached()
    local.clock.now += 31
    local.ask("GET", local.machine)
    assert list(local.world.devices.attached()) == [1]


def test_strangers_come_and_go(local: Local) -> None:
    local.done(attach(local, local.disk("ours"), lun=0))
    local.application.faults.add(Fault("stranger-attaches", "GET", "virtualmachines", lun=7))
    assert [entry["lun"] for entry in local.listed()] == [0, 7]
    local.application.faults.add(Fault("stranger-detaches", "GET", "virtualmachines", lun=0))
    assert [entry["lun"] for entry in local.listed()] == [7]
    assert list(local.world.devices.attached()) == [7]
    local.application.faults.add(Fault("stranger-attaches", "GET", "virtualmachines", lun=7))
    assert [entry["lun"] for entry in local.listed()] == [7, 8], "two disks never share a LUN"


def test_a_stranger_who_writes_holds_the_machine_for_a_while(local: Local) -> None:
    armed = local.application.faults.add(Fault("stranger-writes", "POST", seconds=90, times=2))
    disk = local.disk("ours")
    assert attach(local, disk).status == 409
    assert local.ask("GET", local.machine).payload["properties"]["provisioningState"] == "Updating"
    local.clock.now += 80
    assert attach(local, disk).status == 409
    assert armed.fired == 1, "nor may a second stranger write meanwhile"
    local.clock.now += 11
    local.done(attach(local, disk))
    assert [entry["name"] for entry in local.listed()] == ["ours"]


def test_a_stale_read_does_not_deny_what_was_there_from_the_start(local: Local) -> None:
    local.application.faults.add(Fault("stale", "GET", "virtualmachines"))
    assert local.ask("GET", local.machine).status == 200


def test_faults_come_by_the_control_endpoint_and_are_audited(local: Local) -> None:
    def control(method: str, body: bytes = b"", what: str = "faults") -> list[dict[str, object]]:
        found: list[dict[str, object]] = local.application.handle(
            Request(method, f"/_localarm/{what}", body=body)
        ).payload["value"]
        return found

    control("POST", b'{"faults": [{"what": "throttle", "kind": "disks", "seconds": 7}]}')
    refused = local.ask("GET", put(local))
    assert (refused.status, refused.headers["Retry-After"]) == (429, "7")
    assert control("GET")[0]["fired"] == 1
    assert control("GET", what="audit")[-1] | {"time": 0} == {
        "time": 0, "method": "GET", "path": put(local), "status": 429, "fate": "answer",
        "faults": ["throttle"], "code": "OperationNotAllowed",
    }  # fmt: skip
    assert control("DELETE") == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"what": "burn"},
        {"what": "refuse", "method": 5},
        {"what": "refuse", "method": "GTE"},
        {"what": "refuse", "kind": None},
        {"what": "refuse", "kind": "disk"},
        {"what": "refuse", "kind": "locations/diskoperations"},
        {"what": "refuse", "method": "POST", "kind": "disks"},
        {"what": "refuse", "name": 1},
        {"what": "refuse", "nth": "1"},
        {"what": "refuse", "nth": 0},
        {"what": "refuse", "nth": True},
        {"what": "refuse", "times": 0},
        {"what": "refuse", "times": 1.5},
        {"what": "refuse", "status": "503"},
        {"what": "refuse", "status": 200},
        {"what": "delay", "seconds": "2"},
        {"what": "delay", "seconds": -5},
        {"what": "delay", "seconds": float("inf")},
        {"what": "stale", "method": "PUT", "kind": "disks"},
        {"what": "fail", "method": "GET"},
        {"what": "device-never", "method": "GET", "kind": "virtualmachines"},
        {"what": "device-late", "kind": "disks"},
        {"what": "stranger-attaches", "lun": 64},
        {"what": "refuse", "colour": "red"},
        {},
        "refuse",
        None,
    ],
)
def test_a_fault_that_would_never_strike_is_refused(local: Local, wrong: object) -> None:
    body = json.dumps({"faults": [{"what": "drop"}, wrong]}).encode()
    answer = local.application.handle(Request("POST", "/_localarm/faults", body=body))
    assert (answer.status, answer.payload["error"]["code"]) == (400, "InvalidRequestContent")
    assert "no such fault" in answer.payload["error"]["message"]
    assert local.application.faults.armed == [], "all or none"
    assert local.ask("GET", local.machine).status == 200


@pytest.mark.parametrize("path", ["metadata/instance", "metadata/identity/oauth2/token", "x/oauth2/v2.0/token", "skus"])
def test_other_services_have_faults_too(local: Local, path: str) -> None:
    local.application.faults.add(Fault("refuse", kind=path, status=503, code="Busy"))
    path = (
        f"/subscriptions/{local.world.settings.subscription}/providers/Microsoft.Compute/skus"
        if path == "skus"
        else path
    )
    assert local.ask("GET", path).payload["error"]["code"] == "Busy"


def test_a_group_is_matched_by_its_kind(local: Local) -> None:
    armed = local.application.faults.add(Fault("refuse", "GET", "resourcegroups", "gilder-local", status=503))
    assert [local.ask("GET", path).status for path in (put(local), local.group)] == [404, 503]
    assert armed.fired == 1


Asked = tuple[str, str, object]


def change(local: Local, machine: str = "build-host", **disks: list[dict[str, str]]) -> Asked:
    return "POST", f"{local.compute}/virtualMachines/{machine}/attachDetachDataDisks", disks


def a_detach(local: Local) -> Asked:
    disk = local.disk("d")
    local.done(attach(local, disk))
    return change(local, dataDisksToDetach=[{"diskId": disk}])


def an_attach_elsewhere(local: Local) -> Asked:
    return change(local, "second", dataDisksToAttach=[{"diskId": local.disk("d")}])


def a_poll(local: Local, lasts: float) -> Asked:
    local.world.lasts = lambda kind: lasts
    address: str = local.ask("PUT", put(local, "x"), EMPTY).headers["Azure-AsyncOperation"]
    return "GET", address, None


IDLE: dict[str, tuple[Fault, Callable[[Local], Asked]]] = {
    "an ending of what begins nothing": (
        Fault("fail", kind="resourcegroups"), lambda local: ("PUT", local.group, {"location": "westeurope"})
    ),
    "an ending of what is read": (Fault("fail"), lambda local: ("GET", local.disk("d"), None)),
    "an ending of what is refused": (Fault("fail", "PUT"), lambda local: ("PUT", put(local), {"location": "mars"})),
    "a device of a detach": (Fault("device-never", "POST"), a_detach),
    "a device of another machine": (Fault("device-late", "POST"), an_attach_elsewhere),
    "a stale look at what never changed": (Fault("stale"), lambda local: ("GET", local.machine, None)),
    "a stale look at what never was": (Fault("stale"), lambda local: ("GET", put(local, "never"), None)),
    "a stale list of nothing": (Fault("stale"), lambda local: ("GET", f"{local.compute}/disks", None)),
    "a stale poll of what still runs": (Fault("stale", kind="operations"), lambda local: a_poll(local, 60.0)),
    "a stranger at an empty LUN": (Fault("stranger-detaches", lun=3), lambda local: ("GET", local.machine, None)),
}  # fmt: skip


@pytest.mark.parametrize("case", IDLE)
def test_a_fault_without_an_effect_has_not_fired(make_local: Maker, case: str) -> None:
    names = ("build-host", "second")
    local = make_local(machines=tuple(Machine(name, "gilder-local", "westeurope", "Standard_D2s_v5") for name in names))
    fault, scene = IDLE[case]
    method, path, body = scene(local)
    armed = local.application.faults.add(fault)
    local.ask(method, path, body)
    assert (armed.seen, armed.fired) == (1, 0)
    assert all("faults" not in entry for entry in local.application.audit)
    assert local.world.next_fate is local.world.next_device is None


def test_a_stranger_finds_no_room(make_local: Maker) -> None:
    local = make_local(vm_size="Standard_D2s_v5")
    for number in range(4):
        local.done(attach(local, local.disk(f"d{number}")))
    armed = local.application.faults.add(Fault("stranger-attaches"))
    assert len(local.listed()) == 4
    assert armed.fired == 0


def test_a_dropped_request_has_no_effect_whatever_else_is_armed(local: Local) -> None:
    disk = local.disk("d")
    for fault in (Fault("stranger-attaches", lun=3), Fault("fail"), Fault("lose"), Fault("drop"), Fault("delay")):
        local.application.faults.add(fault)
    answer = attach(local, disk)
    assert (answer.fate, answer.delay) == ("reset", 0)
    assert [armed.fired for armed in local.application.faults.armed] == [0, 0, 0, 1, 0]
    local.application.faults.clear()
    assert local.listed() == []


def test_an_operation_and_its_device_both_suffer(local: Local) -> None:
    disk = local.disk("d")
    faults = [local.application.faults.add(Fault(what, "POST")) for what in ("fail", "device-late")]
    assert local.done(attach(local, disk))["status"] == "Failed"
    assert [armed.fired for armed in faults] == [1, 1]


def names(answer: Response) -> list[str]:
    return [each["name"] for each in answer.payload["value"] if "_OsDisk_" not in each["name"]]


@pytest.mark.parametrize("path", ["{compute}/disks", "{group}/resources", "{group}/resources?$filter=name eq 'two'"])
def test_a_list_is_stale(local: Local, path: str) -> None:
    local.disk("one")
    local.world.lasts = lambda kind: 60.0
    local.ask("PUT", put(local, "two"), EMPTY)
    path = path.format(compute=local.compute, group=local.group)
    fresh = names(local.ask("GET", path))
    armed = local.application.faults.add(Fault("stale", "GET"))
    assert names(local.ask("GET", path)) == [name for name in fresh if name != "two"]
    assert armed.fired == 1
    assert names(local.ask("GET", path)) == fresh


def test_a_list_still_shows_what_is_gone(local: Local) -> None:
    for name in ("one", "two"):
        local.disk(name)
    local.done(local.ask("DELETE", put(local, "one")))
    local.application.faults.add(Fault("stale", "GET", "disks"))
    assert sorted(names(local.ask("GET", f"{local.compute}/disks"))) == ["one", "two"]
    assert names(local.ask("GET", f"{local.compute}/disks")) == ["two"]


def test_a_poll_is_stale(local: Local) -> None:
    method, address, _ = a_poll(local, 0.0)
    armed = local.application.faults.add(Fault("stale", "GET", "operations"))
    answers = [local.ask(method, address).payload for _ in range(2)]
    assert [answer["status"] for answer in answers] == ["InProgress", "Succeeded"]
    assert ["endTime" in answer for answer in answers] == [False, True]
    assert armed.fired == 1


def test_a_stale_fault_leaves_writes_alone(local: Local) -> None:
    disk = local.disk("d")
    local.application.faults.add(Fault("stale"))
    assert local.done(local.ask("PATCH", disk, {"tags": {"new": "1"}}))["status"] == "Succeeded"
    assert local.ask("GET", disk).payload["tags"] == {"new": "1"}


def test_the_twelfth_write_is_the_last_for_a_while(make_local: Maker) -> None:
    local = make_local(throttle=True)
    body = {"location": "westeurope", "properties": {}}
    answers = [local.ask("PUT", local.machine, body) for _ in range(13)]
    assert [answer.status for answer in answers] == [200] * 12 + [429]
    assert answers[0].headers["x-ms-ratelimit-remaining-resource"] == (
        "Microsoft.Compute/PutVMSubscriptionMaximum;1499,Microsoft.Compute/PutVMResource;11"
    )
    wait = float(answers[-1].headers["Retry-After"])
    assert wait == 15
    assert answers[-1].payload["error"]["details"][0]["target"] == "PutVMResource"
    disk = local.ask("PUT", put(local), EMPTY)
    assert disk.status == 202, "other limits are others"
    local.clock.now += wait
    assert local.ask("PUT", local.machine, body).status == 200


def test_reads_are_limited_as_writes_are(make_local: Maker) -> None:
    local = make_local(throttle=True)
    disk = local.disk("d")
    first = local.ask("GET", disk)
    assert "x-ms-ratelimit-remaining-subscription-reads" not in first.headers
    answers = [local.ask("GET", disk) for _ in range(300)]
    refused = [answer for answer in answers if answer.status == 429]
    assert 50 <= len(refused) <= 53
    assert refused[0].payload["error"]["code"] == "SubscriptionRequestsThrottled"
    assert refused[0].headers["Retry-After"] == "1"
    local.clock.now += 1
    assert [local.ask("GET", disk).status for _ in range(26)].count(200) == 25
    assert local.ask("PATCH", disk, {"tags": {}}).status == 202, "writes are counted apart"


def test_each_principal_has_limits_of_its_own(make_local: Maker) -> None:
    local = make_local(throttle=True)
    disk = local.disk("d")
    while local.ask("GET", disk).status == 200:
        pass
    other = local.world.settings.all_principals[1]
    local.token, _ = local.application.tokens.issued(other, "https://management.azure.com/")
    assert local.ask("GET", disk).status == 200


def test_limits_that_are_whole_again_are_forgotten(make_local: Maker) -> None:
    local = make_local(throttle=True)
    local.ask(*a_poll(local, 0.0)[:2])
    assert any("GetOperation" in name for name, _ in local.application.throttle._buckets)
    local.ask("PUT", local.machine, {"location": "westeurope", "properties": {}})
    local.clock.now += 10  # a minute gives back four of twelve writes
    for _ in range(1000):
        local.ask("GET", "/subscriptions")
    assert {name for name, _ in local.application.throttle._buckets} == {"PutVMResource"}


def test_without_throttling_the_headers_are_there_and_nothing_is_refused(local: Local) -> None:
    answers = [local.ask("GET", local.machine) for _ in range(100)]
    assert {answer.status for answer in answers} == {200}
    assert "LowCostGetResource;35" in answers[-1].headers["x-ms-ratelimit-remaining-resource"]


def test_durations_are_drawn_from_what_was_recorded() -> None:
    drawn = Latency("recorded", seed=1)
    values = [drawn.lasts("disk.create.platform") for _ in range(2000)]
    assert 0.7 < statistics.median(values) < 0.9
    assert min(values) >= 0.33
    again = Latency("recorded", seed=1)
    assert [again.lasts("disk.create.platform") for _ in range(5)] == values[:5]
    assert Latency("median", scale=0.5).lasts("vm.put.detach") == pytest.approx(12.9 / 2, abs=0.1)
    assert Latency("none").lasts("anything") == 0


def test_every_figure_says_where_it_is_from() -> None:
    for kind, figure in figures()["durations"].items():
        assert ("recorded" in figure and figure["n"] > 0) or figure["assumed"], kind
        assert figure["quantiles"] == sorted(figure["quantiles"]), kind


def test_every_operation_of_a_recorded_world_has_figures(make_local: Maker) -> None:
    local = make_local(latency="median")
    disk = local.disk("d", 4)
    answer = attach(local, disk)
    assert answer.delay == pytest.approx(1.337)  # a machine is changed as by PUT
    started = local.clock.now
    local.done(answer)
    assert 7 < local.clock.now - started < 13


def test_a_refused_write_hides_no_stale_read(local: Local) -> None:
    disk = local.disk("d")
    local.done(local.ask("PATCH", disk, {"tags": {"a": "b"}}))
    made = [{"lun": 0, "createOption": "Empty", "diskSizeGB": 1, "name": name} for name in "xy"]
    body = {"location": "westeurope", "properties": {"storageProfile": {"dataDisks": made}}}
    assert local.ask("PUT", local.machine, body).status == 400
    armed = local.application.faults.add(Fault("stale", "GET", "disks"))
    found = {each["name"]: each for each in local.ask("GET", f"{local.compute}/disks").payload["value"]}
    assert found["d"]["properties"]["provisioningState"] == "Updating"
    assert armed.fired == 1


def test_a_disk_that_was_never_made_stays_so_when_its_deletion_fails(make_local: Maker) -> None:
    """Its creation was called off by the deletion: there is no content."""
    patient = Patient()
    local = make_local(workshop=patient)
    path = put(local)
    creation = {"createOption": "FromImage", "imageReference": {"id": platform(local)}}
    body = {"location": "westeurope", "properties": {"creationData": creation}}
    local.ask("PUT", path, body)
    local.application.faults.add(Fault("fail", "DELETE", "disks"))
    assert local.done(local.ask("DELETE", path))["status"] == "Failed"
    assert local.ask("PATCH", path, {"tags": {"a": "b"}}).status == 409
    patient.work()
    patient.at_once = True
    assert local.done(local.ask("PUT", path, body))["status"] == "Succeeded"
    check_world(local.world)
