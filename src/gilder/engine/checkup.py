"""Whether builds could begin: identity, VM, budget, permissions, sources and destinations. Only reads."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

import anyio

from gilder.azure.arm import Arm
from gilder.azure.machines import vm_view
from gilder.azure.roles import Missing
from gilder.azure.standing import answered, caller, lacking, permissions_on
from gilder.build import Site
from gilder.build.permissions import needs_of, needs_of_machine, together
from gilder.build.plan import planned
from gilder.engine.run import must_differ
from gilder.model.errors import Denied, GilderError
from gilder.model.findings import Finding, Verdict, bad, good, unknown
from gilder.model.spec import BuildSpec
from gilder.runtime.journal import Journal
from gilder.runtime.living import crashed_runs

Tell = Callable[[Finding], None]

WITHIN = 30.0
"""Seconds for one check: who waits for a doctor wants to hear that there is no answer."""
_SKEW = 300.0
"""Seconds by which clocks may differ: tokens are accepted that long before they count (Microsoft Entra)."""

_SLASHES = 2
"""Slashes in the id of a subscription."""


async def checked(
    subject: str, check: Callable[[], Awaitable[Finding]], *, within: float = WITHIN, arm: Arm | None = None
) -> Finding:
    """Make one check; its error is a bad finding, or where it is still tried again then, what `arm` was told last."""
    if arm is not None:
        arm.last_refusal = None
    with anyio.move_on_after(within):
        try:
            return await check()
        except GilderError as error:
            return bad(subject, error.message, error.hint or "")
    last = arm.last_refusal if arm is not None else None
    text = f"no answer within {within:g} s" + (f" that helps: {last.message}" if last else "")
    hint = last.hint if last else None
    return bad(subject, text, hint or "check the network, proxies and firewalls of this machine")


async def site_checked(
    site: Site, specs: Sequence[BuildSpec], tell: Tell, clock: Callable[[], float] = time.time
) -> None:
    """Check what is asked of Azure, for these builds or, without any, for what all builds need."""
    who = ""

    async def identity() -> Finding:
        nonlocal who
        found = await caller(site.arm, clock)
        who = found.object_id
        name = f"object id {found.object_id}" if found.object_id else "an identity that the token does not name"
        return good("token", f"signed in as {name}, for {found.lasts / 60:.0f} min")

    token = await checked("token", identity, arm=site.arm)
    tell(token)
    if token.verdict is not Verdict.GOOD:
        for subject in ("requests", "VM", "permissions", *(f"build {spec.name}" for spec in specs)):
            tell(unknown(subject, "not checked without a token"))
        return
    tell(await checked("requests", lambda: _requests(site, clock), arm=site.arm))
    tell(await checked("VM", lambda: _machine(site), arm=site.arm))
    await _permissions(site, specs, who, tell)
    await _builds(site, specs, tell)


async def _requests(site: Site, clock: Callable[[], float]) -> Finding:
    answer = await answered(site.arm, site.machine.id, clock)
    if abs(answer.ahead) > _SKEW:
        how = "ahead of" if answer.ahead < 0 else "behind"
        text = f"this machine's clock is {abs(answer.ahead) / 60:.0f} min {how} Azure's"
        return bad("requests", text, "set the clock, for example with chronyd or systemd-timesyncd")
    used_up = [name for name, left in answer.left.items() if left == 0]
    if used_up:
        return bad("requests", f"none left of {', '.join(used_up)}", "wait some minutes, or stop who uses them up")
    left = ", ".join(f"{left} {name}" for name, left in answer.left.items())
    told = f"left for reading the VM: {left}; what is left for changes, Azure tells only with a change"
    return good("requests", told if left else "Azure names no limits")


async def _machine(site: Site) -> Finding:
    view = await vm_view(site.arm, site.machine.id)
    what = f"{site.machine.name}, {view.size} in {view.location}{f', zone {view.zone}' if view.zone else ''}"
    if view.state == "Failed":
        remedy = f"an update without changes heals it: az vm update --ids {site.machine.id}"
        return bad("VM", f"{what}: its last change failed", remedy)
    free = await site.writer.free_luns()
    taken = f"{len(view.disks)} data disk{'s' if len(view.disks) != 1 else ''} attached"
    if free == 0:
        remedy = "detach disks that are not needed, or use a VM size that allows more data disks"
        return bad("VM", f"{what}: no LUN is free, {taken}", remedy)
    return good("VM", f"{what}: {free} LUNs free, {taken}")


async def _permissions(site: Site, specs: Sequence[BuildSpec], who: str, tell: Tell) -> None:
    """A line for each scope. What a subscription must permit is tried by the checks that read it."""
    needs = [need for spec in specs for need in needs_of(spec, site.machine, site.gallery_subscription(spec))]
    needs = needs or [*needs_of_machine(site.machine)]
    for scope, actions in together(needs).items():
        if scope.count("/") == _SLASHES:
            continue
        subject = f"permissions on {scope.rpartition('/')[2]}"

        async def permitted(
            scope: str = scope, actions: Sequence[str] = tuple(actions), subject: str = subject
        ) -> Finding:
            return await _permitted(site, subject, scope, actions, who)

        tell(await checked(subject, permitted, arm=site.arm))


async def _permitted(site: Site, subject: str, scope: str, actions: Sequence[str], who: str) -> Finding:
    try:
        held = await permissions_on(site.arm, scope.split("/")[2], scope)
    except Denied:
        remedy = 'builds do not need it; docs/permissions.md, "For gilder doctor", has the role that lets it look'
        return unknown(subject, f"this identity may not read what it may do on {scope}", remedy)
    missing = lacking(actions, held)
    if missing:
        advice = Missing(tuple(missing), (scope,) * len(missing), who).advice()
        return bad(subject, f"missing on {scope}: {', '.join(missing)}", advice)
    return good(subject, f"all {len(actions)} actions")


async def _builds(site: Site, specs: Sequence[BuildSpec], tell: Tell) -> None:
    """A line for each build: its source, its destinations, its options, as a build looks at them first."""
    if not specs:
        return
    try:
        must_differ(specs, site.auth, site.machine)
    except GilderError as error:
        tell(bad("builds", error.message, error.hint or ""))
    for spec in specs:

        async def plan(spec: BuildSpec = spec) -> Finding:
            found = await planned(spec, site)
            made = [str(thing.id) for thing in (found.image, found.version) if thing is not None]
            remarks = "".join(f"; {remark}" for remark in found.remarks)
            return good(f"build {spec.name}", f"{found.source} -> {', '.join(made) or 'nothing'}{remarks}")

        tell(await checked(f"build {spec.name}", plan, arm=site.arm))


async def journal_checked(journal: Journal, recovery: str) -> Finding:
    """Whether earlier runs left something; `recovery` is the command that recovers them."""
    runs = await crashed_runs(journal)
    if not runs:
        return good("journal", "earlier runs left nothing")
    names = ", ".join(run.id for run in runs)
    return bad("journal", f"ended without giving everything back: {names}", f"finish or remove it with: {recovery}")
