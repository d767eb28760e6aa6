"""One `gilder doctor` from the machine to the builds."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import click

from gilder.azure.cloud import Cloud
from gilder.azure.metadata import Machine, this_machine
from gilder.cli.asked import DoctorOptions
from gilder.cli.connection import Login, found_cloud
from gilder.cli.embedded import Lease
from gilder.cli.findings import Findings
from gilder.cli.secrecy import open_files
from gilder.cli.templates import Templates
from gilder.engine import shared_auth, site_on
from gilder.engine.checkup import checked, journal_checked, site_checked
from gilder.host import fitness
from gilder.model.errors import GilderError
from gilder.model.findings import Finding, Verdict, bad, good, unknown
from gilder.model.spec import Auth, BuildSpec
from gilder.runtime.journal import opened
from gilder.runtime.redaction import Redactor
from gilder.template import Loaded
from gilder.template.secrecy import secrets_of

_LOGS, _CLOUD = 2**28, 2**31
"""Bytes that must be free: for logs and the journal, and for the disks of the embedded cloud."""


@dataclass
class Examination:
    """Checks in the order in which a build would meet them; one that needs a failed one is told as unknown."""

    templates: Templates
    options: DoctorOptions
    lease: Lease | None
    findings: Findings

    async def run(self) -> None:
        """Make all checks."""
        loaded = self.templates.loaded()
        self.findings.redactor, _ = Redactor.of(secrets_of(loaded, os.environ))
        await self._machine(loaded)
        await self._journal()
        sound = self._template(loaded)
        specs = loaded.builds if sound else ()
        try:
            login = Login(self.lease, lambda text: self.findings.tell(good("credentials", text)))
            await self._cloud(login, await login.settled(shared_auth(specs)), specs)
        except GilderError as error:
            self.findings.tell(bad("credentials", error.message, error.hint or ""))

    async def _machine(self, loaded: Loaded) -> None:
        tell = self.findings.tell
        needed = [fitness.ALWAYS]
        needed += [fitness.GROWING] * any(spec.grow_root for spec in loaded.builds)
        needed += [fitness.VOLUMES] * any(spec.lvm_root_device for spec in loaded.builds)
        tell(fitness.root())
        tell(fitness.programs(needed))
        tell(await checked("kernel", fitness.kernel))
        tell(await checked("namespaces", fitness.namespaces))
        tell(fitness.space("logs", self.options.logs, _LOGS))
        if self.options.places.local:
            tell(fitness.space("the embedded cloud", self.options.places.cloud_state, _CLOUD))

    async def _journal(self) -> None:
        path = self.options.places.journal
        space = fitness.space("the journal", path.parent, _LOGS)
        if space.verdict is Verdict.BAD:
            self.findings.tell(space)
        if not fitness.is_there(path):  # opening would make it
            if space.verdict is not Verdict.BAD:
                self.findings.tell(good("journal", f"{path} will be made"))
            return

        async def check() -> Finding:
            async with opened(path, self.findings.redactor.text) as journal:
                return await journal_checked(journal, self.options.places.command("recover"))

        self.findings.tell(await checked("journal", check))

    def _template(self, loaded: Loaded) -> bool:
        """Whether the template has no mistakes; they are told on stderr, as of all commands."""
        if not self.templates.files:
            return False
        errors = self.templates.report(loaded)
        if errors:
            text = f"{errors} mistake{'s' if errors > 1 else ''} in {self.templates.name}"
            self.findings.tell(bad("template", text, "see above, or use gilder validate"))
        else:
            count = len(loaded.builds)
            self.findings.tell(good("template", f"{count} build{'s' if count != 1 else ''} in {self.templates.name}"))
            for warning in open_files(loaded, Auth(), self.templates.texts):
                click.echo(f"warning: {self.findings.redactor.text(warning)}", err=True)
        return not errors

    async def _cloud(self, login: Login, auth: Auth, specs: tuple[BuildSpec, ...]) -> None:
        machine: Machine | None = None
        cloud: Cloud | None = None

        async def described() -> Finding:
            nonlocal cloud
            cloud = await found_cloud(auth, self.lease)
            return good("cloud", f"{cloud.name} at {cloud.resource_manager}")

        async def metadata() -> Finding:
            nonlocal machine
            assert cloud is not None
            machine = await this_machine(cloud)
            return good("metadata service", f"this is the VM {machine.id}")

        self.findings.tell(await checked("cloud", described, within=90.0))
        if cloud is not None:
            self.findings.tell(await checked("metadata service", metadata))
        if cloud is None or machine is None:
            self.findings.tell(unknown("VM, token and permissions", "not checked, for the VM is not known"))
            return
        if specs and (specs := self._specs_here(machine)):
            auth = await login.settled(shared_auth(specs))
        async with site_on(cloud, auth, machine, "doctor", lambda text: None, log_in=False) as site:
            await site_checked(replace(site, force=self.options.force), specs, self.findings.tell)

    def _specs_here(self, machine: Machine) -> tuple[BuildSpec, ...]:
        """The builds, now that the VM is known: what a template asks of it may show other mistakes."""
        loaded = self.templates.loaded(machine.facts)
        errors = self.templates.report(loaded)
        if errors:
            self.findings.tell(bad("template", f"{errors} mistakes, now that the VM is known", "see above"))
        return () if errors else loaded.builds
