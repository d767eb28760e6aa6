"""Where a build takes place: the connection, this VM, its slots, and the run it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from gilder.azure.arm import Arm
from gilder.azure.budgets import Limit
from gilder.azure.metadata import Machine
from gilder.build.attendance import Attendance
from gilder.build.leases import Leases
from gilder.build.limits import Limits
from gilder.host.architecture import architecture, emulates
from gilder.model.gauges import Gauges
from gilder.model.ids import ArmId
from gilder.model.spec import Auth, BuildSpec
from gilder.model.tags import CREATED, HOST, of_build
from gilder.runtime.locks import KeyedLocks
from gilder.runtime.once import Once
from gilder.slots import SlotDevices, SlotWriter

_VM_WRITES = (Limit("AttachDetachVMDisksResource", 12), Limit("PutVMResource", 12))
_IMAGES = (Limit("CreateImagesSubscriptionMaximum", 60),)
_VERSIONS = (
    Limit("CreateUpdateGalleryImageVersion3Min", 375),
    Limit("CreateUpdateGalleryImageVersion30Min", 1200, 1800),
)
_LIMITS = (("VM writes", _VM_WRITES, sum), ("images", _IMAGES, min), ("versions", _VERSIONS, min))
"""What a run of many builds can run short of, by Azure's names and sizes (recorded headers; a bucket is full again in the
time that its name says, else in three minutes: Azure's page on compute limits); the rest is far. Of the two calls that write
to the VM one goes when the other has none left; a version needs both of its own."""


@dataclass(frozen=True, slots=True)
class Site:
    """Shared by all builds of a run. `run` is the run's short id, part of every temporary name and tag."""

    arm: Arm
    machine: Machine
    writer: SlotWriter
    devices: SlotDevices
    run: str
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    numbers: dict[str, int] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    turns: KeyedLocks = field(default_factory=KeyedLocks)
    """For what the kernel shares: clashing identities of clones, names of volume groups."""
    lookups: Once = field(default_factory=Once)
    """What several builds look up alike: sources, image definitions."""
    leases: Leases = field(init=False)
    """Of the temporary resources that builds hold now."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "leases", Leases(self.arm, self.run))

    auth: Auth = field(default_factory=Auth)
    """Whom all of it is done as (settled)."""
    force: bool = False
    """Whether an image or image version that is there already is replaced (`-force`)."""
    attendance: Attendance = field(default_factory=Attendance)
    architecture: str = field(default_factory=architecture)
    """Of this machine, in Azure's words: `x64`, `Arm64`."""

    def gallery_subscription(self, spec: BuildSpec) -> str:
        """Where a gallery is that names no subscription."""
        return gallery_subscription(spec, self.auth, self.machine)

    def gauges(self) -> Gauges:
        """What is left now of what the builds share."""
        done = self.writer.statistics
        left = ((what, [self.arm.budgets.now(limit) for limit in limits], of) for what, limits, of in _LIMITS)
        known = ((what, [count for count in counts if count is not None], of) for what, counts, of in left)
        requests = tuple((what, of(counts)) for what, counts, of in known if counts)
        return Gauges(
            done.attached - done.detached,
            self.limits.slots,
            requests,
            self.limits.places,
            crowded=self.limits.crowded(),
        )

    def runs(self, wanted: str) -> bool:
        """Whether programs for an architecture run on this machine."""
        return wanted.lower() == self.architecture.lower() or emulates(wanted)

    def serial(self, build: str) -> int:
        """The number of a build within its run: names cut to length stay different."""
        return self.numbers.setdefault(build, len(self.numbers) + 1)

    def tags(self, build: str) -> dict[str, str]:
        """The tags by which a temporary resource is known as ours, even when everything else is lost."""
        made = self.created.isoformat(timespec="seconds")
        return {**of_build(self.run, build), HOST: str(self.machine.id), CREATED: made}

    @property
    def prefix(self) -> str:
        """How the names begin that gilder chooses for temporary resources: no other run has such."""
        return f"gilder-{self.run}-"

    def chose(self, resource: ArmId) -> bool:
        """Whether a temporary resource has a name that gilder chose, so that it cannot be somebody else's."""
        return resource.name.startswith(self.prefix)


def gallery_subscription(spec: BuildSpec, auth: Auth, machine: Machine) -> str:
    """Where a gallery is that names no subscription: in that of the login (with az its alone), else in the VM's."""
    own = None if auth.use_azure_cli_auth else spec.auth.subscription_id
    return own or auth.subscription_id or machine.id.subscription
