"""`-force`: what is there is deleted to make room, and whatever comes between, not both the old and the new are lost."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest
from azure.core.credentials import AccessTokenInfo
from tests.sweeps.cells import Cell, examined
from tests.sweeps.scene import Scene, mark_of, staged
from tests.virtual.furnishing import REGION, definition, disk, gallery, id_of, image, version
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import Place, image_spec, placed, version_spec

from gilder.azure.arm import connected
from gilder.azure.snapshots import SnapshotPlan, delete_snapshot, take_snapshot
from gilder.azure.tokens import SharedToken
from gilder.engine import RunOptions, Stopping
from gilder.model.errors import Denied
from gilder.model.events import Said
from gilder.model.ids import ArmId
from gilder.model.outcomes import Cancelled, Failed
from gilder.model.spec import BuildSpec
from localarm.app import Application
from localarm.door_sdk import InProcessTransport
from localarm.faults import Fault
from localarm.ticker import Ticker

FORCE = RunOptions(force=True)
CHOSEN = id_of("snapshots", "chosen")
"""A name for its snapshot that the template gives: the old one was made of a snapshot of the same name."""

PRODUCTS = {
    "image": (id_of("images", "img"), image_spec("img")),
    "version": (id_of("galleries/images/versions", "gallery/linux/1.0.1"), version_spec("img", 1)),
}


async def furnished(scene: Scene, product: str, source: str) -> tuple[ArmId, BuildSpec]:
    """Have an old image (version) there, made of a disk or of a snapshot; what shall replace it."""
    await gallery(scene)
    await definition(scene)
    id_, spec = PRODUCTS[product]
    made_of = await disk(scene, "old")
    if source != "disk":
        snapshot = CHOSEN if source == "chosen" else id_of("snapshots", "old")
        await take_snapshot(scene.arm, SnapshotPlan(id=snapshot, disk=made_of, location=REGION))
        made_of = snapshot
    await made(scene, product, made_of)
    if source == "chosen":
        await delete_snapshot(scene.arm, CHOSEN)
        spec = spec.model_copy(update={"temporary_os_disk_snapshot_id": CHOSEN})
    scene.strike()
    return id_, spec


async def made(place: Place, product: str, source: ArmId) -> None:
    """Make one of that name of a disk or a snapshot, as others do."""
    if product == "version":
        await version(place, "1.0.1", source)
    else:
        await image(place, "img", source)


async def killed_while_replacing(scene: Scene, spec: BuildSpec, at: float = 0.0) -> None:
    """Build, and be killed some seconds after the deletion of the old one was asked for, or when the new one was."""

    def asked(method: str) -> bool:
        kinds = ("/images/img", "/versions/1.0.1")
        return any(e["method"] == method and str(e["path"]).endswith(kinds) for e in scene.application.audit)

    async with anyio.create_task_group() as group:
        group.start_soon(scene.live, [spec], Stopping(lambda text: None), FORCE)
        while not asked("DELETE"):
            await anyio.sleep(0.01)
        with anyio.move_on_after(at):
            while not asked("PUT"):
                await anyio.sleep(0.01)
        scene.kill()
        group.cancel_scope.cancel()
    assert scene.outcomes is None
    scene.application.faults.clear()


def whose(scene: Scene, id_: ArmId) -> str:
    """`new`, `old` or `none` is there, whole."""
    found = scene.world.find("/".join(id_.types).lower(), str(id_))
    if found is None or found.state != "Succeeded":
        return "none"
    with scene.world.blobs.path(found.hidden["blobs"]["os"]).open("rb") as file:
        return "new" if file.read(64).startswith(mark_of("img")) else "old"


MOMENTS = {"image": (0.0, 0.05, 0.5, 1.0, 2.0, 5.0), "version": (0.0, 0.05, 2.0, 60.0, 120.0, 200.0)}
"""When the process is killed, in seconds from the request to delete the old one; each also when that does not arrive."""


@pytest.mark.parametrize("source", ["disk", "snapshot", "chosen"])
@pytest.mark.parametrize("product", PRODUCTS)
def test_a_kill_while_the_old_one_goes_loses_nothing(tmp_path: Path, product: str, source: str) -> None:
    async def killed(at: float, arrives: bool, folder: Path) -> None:
        async with staged(folder, 4) as scene:
            id_, spec = await furnished(scene, product, source)
            if not arrives:
                scene.application.faults.add(Fault("drop", "DELETE", "/".join(id_.types), times=99))
            await killed_while_replacing(scene, spec, at)
            (told,) = await scene.recovered(folder / "alive")
            assert (told.published, told.left) == ((str(id_),), ()), at
            assert whose(scene, id_) == "new", at
            assert len(scene.world.all("snapshots")) == (source == "snapshot"), at
            assert await scene.record.residues() == []

    for number, (at, arrives) in enumerate(itertools.product(MOMENTS[product], (True, False))):
        folder = tmp_path / str(number)
        folder.mkdir()
        in_virtual_time(partial(killed, at, arrives, folder))


@pytest.mark.parametrize("product", PRODUCTS)
def test_an_old_one_stays_when_there_is_nothing_to_replace_it_by(tmp_path: Path, product: str) -> None:
    """Killed before the old one went; then somebody deleted the snapshot."""

    async def main() -> None:
        async with staged(tmp_path, 4) as scene:
            id_, spec = await furnished(scene, product, "disk")
            scene.application.faults.add(Fault("drop", "DELETE", "/".join(id_.types), times=99))
            await killed_while_replacing(scene, spec)
            for snapshot in scene.world.all("snapshots"):
                scene.world.remove(snapshot)
            (told,) = await scene.recovered(tmp_path / "alive")
            assert (told.published, told.left) == ((), ())
            assert whose(scene, id_) == "old"

    in_virtual_time(main)


@pytest.mark.parametrize("product", PRODUCTS)
def test_what_somebody_made_since_is_not_what_was_to_be_replaced(tmp_path: Path, product: str) -> None:
    """Killed while the old one went; before the recovery somebody made one of that name by other means."""

    async def main() -> None:
        async with staged(tmp_path, 4) as scene:
            id_, spec = await furnished(scene, product, "snapshot")
            await killed_while_replacing(scene, spec)
            await anyio.sleep(300)
            async with scene.beside() as place:
                await made(place, product, await disk(place, "theirs"))
            (told,) = await scene.recovered(tmp_path / "alive")
            assert (told.published, told.left) == ((), ())
            assert whose(scene, id_) == "old", "theirs"

    in_virtual_time(main)


@pytest.mark.parametrize("product", PRODUCTS)
def test_it_is_said_that_the_old_one_is_gone(tmp_path: Path, product: str) -> None:
    async def main() -> None:
        async with staged(tmp_path, 4) as scene:
            id_, spec = await furnished(scene, product, "disk")
            scene.application.faults.add(Fault("fail", "PUT", "/".join(id_.types)))
            await scene.live([spec], Stopping(lambda text: None), FORCE)
            assert scene.outcomes is not None
            (outcome,) = scene.outcomes
            assert isinstance(outcome, Failed)
            assert outcome.error.endswith(f"what {id_} was before is gone, as -force asked")
            assert whose(scene, id_) == "none"

    in_virtual_time(main)


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_refused_deletion_leaves_the_old_one(tmp_path: Path, product: str) -> None:
    async def main() -> None:
        async with staged(tmp_path, 4) as scene:
            id_, spec = await furnished(scene, product, "chosen")
            refused = Fault("refuse", "DELETE", "/".join(id_.types), status=403, code="AuthorizationFailed", times=99)
            scene.application.faults.add(refused)
            await scene.live([spec], Stopping(lambda text: None), FORCE)
            assert scene.outcomes is not None
            (outcome,) = scene.outcomes
            assert isinstance(outcome, Failed)
            assert outcome.residues == ()
            assert whose(scene, id_) == "old"

    in_virtual_time(main)


def test_a_run_stopped_while_the_old_one_goes_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with staged(tmp_path, 4) as scene:
            id_, spec = await furnished(scene, "version", "disk")
            stopping = Stopping(lambda text: None)
            async with anyio.create_task_group() as group:
                group.start_soon(scene.live, [spec], stopping, FORCE)
                while not any(e["method"] == "DELETE" for e in scene.application.audit):
                    await anyio.sleep(0.01)
                await anyio.sleep(20)
                stopping.signalled("SIGINT")
            assert scene.outcomes is not None
            assert isinstance(scene.outcomes[0], Cancelled)
            remarks = [event.text for event in scene.events if isinstance(event, Said)]
            assert f"what {id_} was before may be gone, as -force asked" in remarks

    in_virtual_time(main)


@pytest.mark.parametrize("killed", [0, 296])
@pytest.mark.parametrize(("product", "kind"), [("image", "images"), ("version", "galleries/images/versions")])
def test_one_look_that_misses_the_old_one_costs_no_image(product: str, kind: str, killed: int) -> None:
    """What was not seen was not replaced, and after a crash counted as made by somebody else meanwhile."""
    missed = Fault("refuse", "GET", kind, status=404, code="ResourceNotFound")
    found = examined(Cell("missed", (product,), (missed,), killed=killed, old="snapshot"))
    assert found.fired
    assert found.violations == ()
    assert found.failed == 0


def test_of_two_builds_that_one_refusal_ends_each_tells_only_its_own_loss(tmp_path: Path) -> None:
    """The token was refused while both replaced an image: the second told of what the first had lost, too."""

    async def main() -> None:
        transports: list[InProcessTransport] = []

        def transport(application: Application, ticker: Ticker) -> InProcessTransport:
            transports.append(InProcessTransport(application, ticker))
            return transports[0]

        async with placed(tmp_path, 4, transports=transport) as place, anyio.create_task_group() as group:
            tokens, (builder, *_) = place.application.tokens, place.world.settings.all_principals
            for name in ("web", "db"):
                await image(place, name, await disk(place, f"old-{name}"))
            expired = False

            async def ask(scope: str) -> AccessTokenInfo:
                if expired:
                    raise Denied("the client secret has expired")
                return AccessTokenInfo(tokens.issued(builder, "https://management.azure.com/")[0], 1 << 40)

            async def expire() -> None:
                nonlocal expired
                while sum(e["method"] == "DELETE" for e in place.application.audit) < 2:
                    await anyio.sleep(0.01)
                expired = True
                tokens.revoke()

            async with connected(place.arm.cloud, SharedToken(ask, anyio.lowlevel.checkpoint), transports[0]) as arm:
                group.start_soon(expire)
                outcomes = await replace(place, arm=arm).build([image_spec("web"), image_spec("db")], FORCE)
            for outcome in outcomes:
                assert isinstance(outcome, Failed)
                loss = f"what {id_of('images', outcome.build)} was before may be gone, as -force asked"
                assert outcome.error == f"the client secret has expired; {loss}"

    in_virtual_time(main)
