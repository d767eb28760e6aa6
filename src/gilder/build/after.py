"""What happens once the image is there: chains of post-processors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio

from gilder.build.manifest import Entry, add_in_turn, artifact_id
from gilder.build.site import Site
from gilder.build.story import Story
from gilder.host.hearing import lingering
from gilder.model.deadlines import duration_told
from gilder.model.errors import GilderError, HostError
from gilder.model.events import Stage
from gilder.model.ids import ArmId
from gilder.model.provisioners import Manifest, PostProcessor, ShellLocalAfter
from gilder.model.spec import BuildSpec
from gilder.provision.context import ProvisionContext
from gilder.provision.shell_local import run_shell_local
from gilder.provision.wrap import wrapped


async def post_processed(spec: BuildSpec, source: str, artifacts: Sequence[ArmId], site: Site, story: Story) -> None:
    """Run the chains. One that fails ends there, the others run all the same; then raises HostError with every reason."""
    if not spec.post_processors:
        return
    failed: list[str] = []
    limit = story.hourglass.limit(Stage.POST_PROCESS)
    with story.telling(Stage.POST_PROCESS), lingering() as left_running:
        context = ProvisionContext(
            build=spec.name,
            run=site.run,
            device="",
            mount_path=Path(),
            data={"SourceImageName": source},
            say=story.say,
            on_line=story.output,
            lingering=left_running,
        )
        with anyio.move_on_after(limit) as scope:
            for chain in spec.post_processors:
                failed += await _chain(chain, artifacts, site, context)
        if scope.cancelled_caught:
            failed.append(f"{Stage.POST_PROCESS} took longer than {duration_told(limit or 0.0)}")
        if failed:
            there = f"the build itself ended well: {', '.join(map(str, artifacts))}" if artifacts else ""
            raise HostError("\n".join(failed), hint=there or None)


async def _chain(
    chain: Sequence[PostProcessor], artifacts: Sequence[ArmId], site: Site, context: ProvisionContext
) -> list[str]:
    """Run one chain up to the first that fails; why it did."""
    for processor in chain:
        name, kind = processor.name or processor.type, processor.type
        context.say(f"Running post-processor: {name}" + f" (type {kind})" * (name != kind))
        try:
            await _one(processor, artifacts, site, context)
        except GilderError as error:
            return [f"Post-processor failed: {name}: {error.message}"]
    return []


async def _one(processor: PostProcessor, artifacts: Sequence[ArmId], site: Site, context: ProvisionContext) -> None:
    match processor:
        case Manifest():
            await _manifest(processor, artifacts, site, context)
        case ShellLocalAfter():
            run = partial(run_shell_local, processor, context, extra={"GILDER_ARTIFACT_ID": artifact_id(artifacts)})
            await wrapped(processor.type, processor.wrap, context, run)


async def _manifest(spec: Manifest, artifacts: Sequence[ArmId], site: Site, context: ProvisionContext) -> None:
    data = context.template_data()
    entry = Entry(
        build=context.build,
        builder_type=context.builder_type,
        time=None if spec.strip_time else int(time.time()),
        artifact_id=artifact_id(artifacts),
        run=context.run,
        custom_data={key: text.render(data) for key, text in spec.custom_data.items()} or None,
    )
    await add_in_turn(Path(spec.output), entry, site.turns, fresh=site.force)
