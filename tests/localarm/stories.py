"""Random stories: requests, legal and not, time that passes, and faults, in any order."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from tests.localarm.conftest import Local, Patient
from tests.localarm.invariants import check_world
from tests.localarm.test_laws import attach
from tests.localarm.test_operations import definition, platform, snapshot, version_body

from localarm.faults import DEVICES, ENDINGS, Fault

Step = tuple[str, str, Any]
"""Method, path and body; or `wait` and seconds, `work`, or `fault` and what goes wrong at which LUN."""

Steps = st.SearchStrategy[Step]
Texts = st.SearchStrategy[str]

WEST = {"location": "westeurope"}
PLACES = st.sampled_from(["{compute}", "{compute}", "{second}"])
NAMES = st.sampled_from("ab")
VERSIONS = st.sampled_from([f"{{compute}}/galleries/gal/images/def/versions/1.0.{number}" for number in range(2)])
MACHINES = st.sampled_from(
    [
        *(f"{{compute}}/virtualMachines/{name}" for name in ("build-host", "other", "new")),
        "{second}/virtualMachines/new",
    ]
)
GROUPS = st.sampled_from(["{group2}"])


def named(*kinds: str) -> Texts:
    """Something of these kinds, which may be there or not."""
    return st.builds(lambda place, kind, name: f"{place}/{kind}/{name}", PLACES, st.sampled_from(kinds), NAMES)


def put(paths: Texts, *properties: st.SearchStrategy[Any]) -> Steps:
    """A PUT of one of these properties."""
    body = st.one_of(*properties).map(lambda each: {**WEST, "properties": each})
    return st.tuples(st.just("PUT"), paths, body)


def asking(method: str, paths: Texts, body: Any = None) -> Steps:
    """A request with this body."""
    return st.tuples(st.just(method), paths, st.just(body))


def maybe(member: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with a member, or an empty one."""
    return st.one_of(st.just({}), values.map(lambda each: {member: each}))


def merged(*parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One object of several."""
    return st.tuples(*parts).map(lambda each: {name: value for part in each for name, value in part.items()})


def of(member: str, ids: Texts) -> st.SearchStrategy[Any]:
    """A reference by id."""
    return ids.map(lambda each: {member: {"id": each}})


CREATIONS = st.one_of(
    st.just({"createOption": "Empty"}),
    named("disks", "snapshots").map(lambda each: {"createOption": "Copy", "sourceResourceId": each}),
    st.just({"createOption": "FromImage", "imageReference": {"id": "{platform}"}}),
    st.builds(
        lambda version, lun: {"createOption": "FromImage", "galleryImageReference": {"id": version, **lun}},
        st.one_of(VERSIONS, st.sampled_from(["{compute}/galleries/gal/images/def/versions/latest"])),
        maybe("lun", st.integers(0, 1)),
    ),
    st.just({"createOption": "Upload", "uploadSizeBytes": 1073742336}),
)
DISKS = merged(CREATIONS.map(lambda each: {"creationData": each}), maybe("diskSizeGB", st.integers(1, 3)))
SNAPSHOTS = merged(
    st.builds(
        lambda option, source: {"creationData": {"createOption": option, "sourceResourceId": source}},
        st.sampled_from(["Copy", "Copy", "CopyStart"]), named("disks", "snapshots"),
    ),
    maybe("incremental", st.booleans()),
)  # fmt: skip
SOURCES = st.one_of(of("snapshot", named("snapshots")), of("managedDisk", named("disks")))
IMAGES = st.one_of(
    st.builds(
        lambda disk, data: {"storageProfile": {"osDisk": {"osType": "Linux", **disk}, "dataDisks": data}},
        SOURCES, st.lists(merged(st.just({"lun": 0}), SOURCES), max_size=1),
    ),
    of("sourceVirtualMachine", MACHINES),
).map(lambda each: {"hyperVGeneration": "V2", **each})  # fmt: skip
CONTENTS = st.one_of(
    st.builds(
        lambda disk, data: {"osDiskImage": disk, "dataDiskImages": data},
        of("source", named("disks", "snapshots")),
        st.lists(merged(st.just({"lun": 0}), of("source", named("disks"))), max_size=1),
    ),
    of("source", st.one_of(named("images"), VERSIONS)),
    MACHINES.map(lambda each: {"source": {"virtualMachineId": each}}),
)
REGIONS = st.lists(st.sampled_from(["westeurope", "North Europe", "eastus"]), max_size=2).map(
    lambda names: {"targetRegions": [{"name": each} for each in names]}
)
PROFILES = merged(REGIONS, maybe("replicationMode", st.just("Shallow")), maybe("excludeFromLatest", st.booleans()))
PUBLISHED = st.builds(lambda one, two: {"publishingProfile": one, "storageProfile": two}, PROFILES, CONTENTS)
DATA_DISKS = st.lists(
    st.one_of(
        st.builds(lambda lun, gb: {"lun": lun, "createOption": "Empty", "diskSizeGB": gb}, st.integers(0, 3), st.just(1)),
        st.builds(
            lambda lun, disk: {"lun": lun, "createOption": "Attach", **disk}, st.integers(0, 3),
            of("managedDisk", named("disks")),
        ),
    ),
    max_size=2,
)  # fmt: skip
OS_DISKS = st.one_of(
    st.just({"imageReference": {"publisher": "localarm", "offer": "busybox", "sku": "1", "version": "latest"}}),
    of("managedDisk", named("disks")).map(lambda each: {"osDisk": {"createOption": "Attach", **each}}),
)
CREATED = st.builds(
    lambda size, system, data: {
        "hardwareProfile": {"vmSize": size},
        "storageProfile": {**system, "dataDisks": data},
    },
    st.sampled_from(["Standard_D2s_v5", "Standard_DS1_v2"]), OS_DISKS, DATA_DISKS,
)  # fmt: skip
WRITTEN = DATA_DISKS.map(lambda each: {"storageProfile": {"dataDisks": each}})
COMING = merged(named("disks").map(lambda each: {"diskId": each}), maybe("lun", st.integers(-1, 5)))
GOING = merged(named("disks").map(lambda each: {"diskId": each}), maybe("detachOption", st.just("ForceDetach")))
ATTACHED = st.one_of(
    COMING.map(lambda each: {"dataDisksToAttach": [each]}),
    COMING.map(lambda each: {"dataDisksToAttach": [each]}),
    GOING.map(lambda each: {"dataDisksToDetach": [each]}),
    st.builds(
        lambda coming, going: {"dataDisksToAttach": coming, "dataDisksToDetach": going},
        st.lists(COMING, max_size=3), st.lists(GOING, max_size=2),
    ),
)  # fmt: skip
CHANGES = st.sampled_from(
    [{"tags": {"x": "y"}}, {"properties": {"diskSizeGB": 3}}, {"properties": {"osType": "Linux"}}]
)
VERBS = st.sampled_from(["deallocate", "start", "powerOff", "restart", "generalize"])
WHATS = (
    *ENDINGS,
    *DEVICES,
    "lose",
    "drop",
    "refuse",
    "stale",
    "stranger-attaches",
    "stranger-detaches",
    "stranger-writes",
)


def steps() -> Steps:
    """One step of a story about everything there is."""
    anything = st.one_of(named("disks", "snapshots", "images"), VERSIONS, MACHINES)
    actions = st.builds(lambda machine, verb: f"{machine}/{verb}", MACHINES, VERBS)
    grants = st.builds(
        lambda disk, verb: f"{disk}/{verb}",
        named("disks", "snapshots"),
        st.sampled_from(["beginGetAccess", "endGetAccess"]),
    )
    faults = st.tuples(st.just("fault"), st.sampled_from(WHATS), st.integers(0, 4))
    return st.one_of(
        put(named("disks"), DISKS),
        put(named("snapshots"), SNAPSHOTS),
        put(named("images"), IMAGES),
        put(VERSIONS, PUBLISHED),
        put(VERSIONS, PUBLISHED),
        put(MACHINES, CREATED, WRITTEN),
        st.tuples(st.just("POST"), MACHINES.map(lambda each: f"{each}/attachDetachDataDisks"), ATTACHED),
        st.tuples(st.just("POST"), MACHINES.map(lambda each: f"{each}/attachDetachDataDisks"), ATTACHED),
        st.tuples(st.just("PATCH"), anything, CHANGES),
        st.tuples(st.just("PATCH"), VERSIONS, PROFILES.map(lambda each: {"properties": {"publishingProfile": each}})),
        asking("POST", actions),
        asking("POST", grants, {"access": "Read", "durationInSeconds": 10}),
        asking("DELETE", anything),
        asking("DELETE", anything),
        asking("DELETE", st.sampled_from(["{compute}/galleries/gal", "{compute}/galleries/gal/images/def"])),
        asking("GET", anything),
        asking("DELETE", GROUPS),
        asking("PUT", GROUPS, WEST),
        faults,
        st.tuples(st.just("wait"), st.just(""), st.sampled_from([0.5, 5.0, 60.0, 700.0])),
        st.tuples(st.just("wait"), st.just(""), st.sampled_from([5.0, 60.0])),
        st.tuples(st.just("work"), st.just(""), st.none()),
    )


def furnished(local: Local, patient: Patient | None = None) -> Local:
    """The world with a second group, a gallery with a version, and some disks, attached and not, to begin with."""
    patient = patient or Patient()
    patient.at_once = True
    lasts, local.world.lasts = local.world.lasts, lambda kind: 0.0
    local.ask("PUT", filled(local, "{group2}"), WEST)
    place = definition(local)
    for name in "ab":
        snapshot(local, name, local.disk(name))
    local.done(local.ask("PUT", f"{place}/versions/1.0.0", version_body(f"{local.compute}/snapshots/a")))
    local.done(attach(local, f"{local.compute}/disks/a"))
    local.world.lasts, patient.at_once = lasts, False
    return local


def filled(local: Local, value: Any) -> Any:
    """`value` with the places in it replaced by paths."""
    if isinstance(value, str):
        group2 = local.group.replace("gilder-local", "second")
        second = f"{group2}/providers/Microsoft.Compute"
        found = value.replace("{compute}", local.compute).replace("{second}", second).replace("{group2}", group2)
        return found.replace("{platform}", platform(local))
    if isinstance(value, dict):
        return {name: filled(local, each) for name, each in value.items()}
    return [filled(local, each) for each in value] if isinstance(value, list) else value


def play(local: Local, story: list[Step], patient: Patient | None = None) -> None:
    """Play a story and check the world after each step. A `patient` workshop works at `work` steps."""
    for method, path, body in story:
        if method == "wait":
            local.clock.now += body
            local.world.advance()
        elif method == "work":
            (patient or Patient()).work()
            local.world.advance()
        elif method == "fault":
            device = path in DEVICES
            local.application.faults.add(Fault(path, method="POST" if device else "", lun=body))  # type: ignore[arg-type]
        else:
            answer = local.ask(method, filled(local, path), filled(local, body))
            code = answer.payload.get("error", {}).get("message", "") if isinstance(answer.payload, dict) else ""
            assert "localarm itself failed" not in code, (method, path, body)
        check_world(local.world)


def settle(local: Local, patient: Patient | None = None) -> None:
    """Let everything end."""
    local.application.faults.clear()
    (patient or Patient()).work()
    local.clock.now += 100_000
    local.world.advance()
    assert not local.world.running()
    check_world(local.world)
