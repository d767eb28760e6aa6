"""What `gilder doctor` asks of Azure: with one thing broken at a time, the right line is bad."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import COMPUTE, VM, Place, PretendedDevices, image_spec, placed, version_spec

from gilder.azure.metadata import Machine
from gilder.build import Site
from gilder.build.permissions import DOCTOR, needs_of
from gilder.engine.checkup import site_checked
from gilder.model.findings import Finding, Verdict
from gilder.model.ids import ArmId
from gilder.model.spec import BuildSpec
from gilder.runtime.filelock import nobody
from gilder.slots import SlotWriter
from localarm.faults import Fault
from localarm.settings import APPLICATION, APPLICATION_SECRET, Principal, Role

EVERYTHING = f"/subscriptions/{VM.subscription}"


@dataclass(frozen=True)
class Case:
    """One thing that is broken, the subject of the line that must be bad, and words of it."""

    subject: str
    words: str
    spoil: Callable[[Place], Any] = lambda place: None
    specs: tuple[BuildSpec, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    ahead: float = 0.0


def lacking(*actions: str) -> dict[str, Any]:
    """Settings in which the application may do everything but this."""
    role = Role("less", ("*",), actions)
    return {
        "principals": (Principal(APPLICATION, "builder", APPLICATION_SECRET, ((EVERYTHING, "less"),)),),
        "roles": (role,),
    }


def fault(*args: Any, **more: Any) -> Callable[[Place], Any]:
    return lambda place: place.application.faults.add(Fault(*args, **more))


def failed_vm(place: Place) -> None:
    vm = place.world.find("virtualmachines", str(VM))
    assert vm is not None
    place.world.put(vm.with_properties(provisioningState="Failed"))


def full_vm(place: Place) -> None:
    vm = place.world.find("virtualmachines", str(VM))
    assert vm is not None
    storage = vm.properties["storageProfile"]
    disks = [{"lun": n, "managedDisk": {"id": f"{COMPUTE}/disks/other{n}"}, "createOption": "Attach"} for n in range(4)]
    place.world.put(vm.with_properties(storageProfile={**storage, "dataDisks": disks}))


ELSEWHERE = image_spec("a").model_copy(
    update={"image_resource_id": ArmId.parse(f"{COMPUTE.replace('gilder-local', 'missing')}/images/a")}
)
LOST = {"times": 10_000}
CASES = {
    "no token": Case("token", "HTTP 401", fault("refuse", kind="", method="POST", status=401, code="x", **LOST)),
    "clock": Case("requests", "clock is 10 min behind", ahead=-600),
    "throttled": Case("requests", "no answer within 30 s", fault("throttle", kind="virtualmachines", seconds=60, **LOST)),
    "silent": Case("VM", "no answer within 30 s", fault("drop", kind="skus", **LOST)),
    "unreachable": Case(
        "token",
        "no answer within 30 s that helps: Injected. (x, HTTP 503",
        fault("refuse", kind="", method="POST", status=503, code="x", **LOST),
    ),
    "throttled as Azure says": Case(
        "requests",
        "that helps: The server rejected the request because too many",
        fault("throttle", kind="virtualmachines", seconds=60, **LOST),
    ),
    "failed VM": Case("VM", "its last change failed", failed_vm),
    "full VM": Case("VM", "no LUN is free", full_vm),
    "no sizes": Case("VM", "may not do Microsoft.Compute/skus/read", settings=lacking("Microsoft.Compute/skus/read")),
    "no snapshots": Case(
        "permissions on gilder-local",
        "missing on /subscriptions/5b5c7d2e-8f3a-4d6b-9c1e-2f4a6b8c0d1e/resourceGroups/gilder-local: "
        "Microsoft.Compute/snapshots/write",
        settings=lacking("Microsoft.Compute/snapshots/write"),
    ),
    "no group": Case("permissions on missing", "'missing' could not be found", specs=(ELSEWHERE,)),
    "no definition": Case("build b", "image definition", specs=(image_spec("a"), version_spec("b", 1))),
    "twice": Case("builds", "would both make", specs=(image_spec("a"), image_spec("b").model_copy(
        update={"image_resource_id": image_spec("a").image_resource_id}))),
}  # fmt: skip


def found(folder: Path, case: Case) -> list[Finding]:
    async def main() -> list[Finding]:
        async with placed(folder, 4, **case.settings) as place:
            case.spoil(place)
            findings: list[Finding] = []
            devices = PretendedDevices(place.plugs)
            writer = SlotWriter(
                place.arm, VM, devices, lambda busy=nobody: pytest.fail("a check changes no disks"), place.lives
            )
            site = Site(place.arm, Machine(VM, "westeurope", "", ""), writer, devices, "doctor")
            await site_checked(site, case.specs, findings.append, lambda: place.world.clock() + case.ahead)
            writes = [e for e in place.application.audit if e["method"] != "GET" and "/oauth2/" not in e["path"]]
            assert writes == []
            return findings

    return in_virtual_time(main)[0]


def test_all_is_good(tmp_path: Path) -> None:
    findings = found(tmp_path, Case("", "", specs=(image_spec("a"), image_spec("b"))))
    assert {finding.verdict for finding in findings} == {Verdict.GOOD}, findings
    assert [finding.subject for finding in findings] == [
        "token", "requests", "VM", "permissions on gilder-local", "build a", "build b",
    ]  # fmt: skip


def test_the_budgets_that_are_shown_are_said_to_be_those_of_a_read(tmp_path: Path) -> None:
    requests = next(finding for finding in found(tmp_path, Case("", "")) if finding.subject == "requests")
    assert requests.text.startswith("left for reading the VM: ")
    assert requests.text.endswith("what is left for changes, Azure tells only with a change")
    assert "PutVM" not in requests.text


@pytest.mark.parametrize("name", CASES)
def test_what_is_broken_is_named(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    findings = found(tmp_path, case)
    bad = {finding.subject: finding for finding in findings if finding.verdict is Verdict.BAD}
    assert case.subject in bad, findings
    assert case.words in bad[case.subject].text
    assert bad[case.subject].remedy


@pytest.mark.parametrize("may_look", [True, False])
def test_the_documented_roles_are_all_that_is_checked_for(tmp_path: Path, may_look: bool) -> None:
    specs = (image_spec("a"),)
    wanted = [(need.role, need.scope) for need in needs_of(specs[0], Machine(VM, "westeurope", "", ""))]
    wanted += [(DOCTOR, EVERYTHING)] * may_look
    roles = tuple(Role(f"role{number}", tuple(role.actions)) for number, (role, _) in enumerate(wanted))
    given = tuple((scope, f"role{number}") for number, (_, scope) in enumerate(wanted))
    builder = Principal(APPLICATION, "builder", APPLICATION_SECRET, given)
    findings = found(tmp_path, Case("", "", specs=specs, settings={"principals": (builder,), "roles": roles}))
    verdicts = {finding.subject: finding.verdict for finding in findings}
    assert verdicts.pop("permissions on gilder-local") is (Verdict.GOOD if may_look else Verdict.UNKNOWN)
    assert set(verdicts.values()) == {Verdict.GOOD}, findings


def test_a_right_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    spoil = fault("refuse", kind="", method="GET", name="gilder-local", status=403, code="AuthorizationFailed", **LOST)
    findings = found(tmp_path, Case("", "", spoil))
    permissions = next(finding for finding in findings if finding.subject.startswith("permissions"))
    assert permissions.verdict is Verdict.UNKNOWN, findings
    assert "docs/permissions.md" in permissions.remedy
