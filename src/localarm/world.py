"""The world: every resource and operation, what is still to happen, and what should not have happened."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from localarm import works
from localarm.arm import key
from localarm.clock import Clock, timestamp
from localarm.devices import Devices
from localarm.errors import Refused
from localarm.latency import Latency
from localarm.messages import Json
from localarm.operations import Family, Fate, Operation, Step
from localarm.parts import Blobs, Images, Workshop, inline_workshop
from localarm.resources import Resource
from localarm.settings import Settings
from localarm.state import State

log = logging.getLogger("localarm")


Action = Callable[["World", Operation, Json, float], Any]
"""What a step does: (world, operation, arguments, moment). What it returns becomes the operation's output."""


class World:
    """All state, behind no door. Synchronous, single-threaded; clock, ids and chance are injected."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        new_id: Callable[[], str],
        state: State,
        blobs: Blobs,
        devices: Devices,
        catalogue: Images,
        actions: Mapping[str, Action],
        work: Mapping[str, Callable[[World, Json], None]],
        workshop: Workshop = inline_workshop,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.new_id = new_id
        self.state = state
        self.blobs = blobs
        self.devices = devices
        self.catalogue = catalogue
        self.latency = Latency(settings.latency, settings.scale, settings.seed)
        self.lasts: Callable[[str], float] = self.latency.lasts
        self.violations: list[Json] = []
        self.gone: dict[str, float] = {}
        self.before: dict[str, Resource | None] = {}
        """What each resource was before its last change, by key; what changed last comes last."""
        self.lead = 0.0
        """Seconds from now until an operation that begins now does begin: requests take time before they act."""
        self.next_fate: Fate | None = None
        self.next_device: float | None = None
        self.withheld: dict[str, float] = {}
        self.stirred: Callable[[], None] = lambda: None
        self._actions = actions
        self._work = work
        self._workshop = workshop
        self._resources: dict[str, dict[str, Resource]] = {}
        self._operations: dict[str, Operation] = {}
        self._running: dict[str, Operation] = {}
        self._timetable: list[tuple[float, int, str]] = []
        """(when, number, operation) of the next steps, a heap; entries of operations that moved on are skipped."""
        self._entries = itertools.count()
        self._changed: dict[str, Resource | None] = {}
        self._changed_operations: dict[str, Operation | None] = {}
        self._new_violations: list[Json] = []
        self._doomed_blobs: list[str] = []
        self._unwanted: set[str] = set()
        self._retired = False
        self._undo: list[Callable[[], Any]] | None = None
        self._earlier: dict[str, Resource | None] = {}
        """What each resource was before the request that is being handled."""
        self._load()

    # One request, whole or not at all

    @contextlib.contextmanager
    def undone_if_refused(self) -> Iterator[None]:
        """What is changed inside is taken back when an error leaves the block: a refused request has no effect."""
        self._undo = []
        self._earlier = {}
        try:
            yield
        except BaseException:
            for undo in reversed(self._undo):
                undo()
            raise
        else:
            for id_key, old in self._earlier.items():
                self._remember(id_key, old)
        finally:
            self._undo = None

    def _undoable(self, undo: Callable[[], Any]) -> None:
        if self._undo is not None:
            self._undo.append(undo)

    def create_blob(self, name: str, size_bytes: int) -> None:
        """An empty blob, gone again if the request is refused."""
        self.blobs.create(name, size_bytes)
        self._undoable(lambda: self.blobs.delete(name))

    def share_blob(self, name: str, as_name: str) -> None:
        """Another name for a blob, gone again if the request is refused."""
        self.blobs.share(name, as_name)
        self._undoable(lambda: self.blobs.delete(as_name))

    def _restore(self, kind: str, id_key: str, resource: Resource | None, doomed: list[str]) -> None:
        resources = self._resources.setdefault(kind, {})
        resources.pop(id_key, None)
        if resource is not None:
            resources[id_key] = resource
        self._changed[id_key] = resource
        self._doomed_blobs = doomed

    # Resources

    def find(self, kind: str, resource_id: str) -> Resource | None:
        """The resource of this kind with this id, in any case; None when there is none."""
        return self._resources.get(kind, {}).get(key(resource_id))

    def all(self, kind: str, below: str = "") -> list[Resource]:
        """Every resource of a kind whose id lies below an id, in the order they were made."""
        prefix = key(below) + "/" if below else ""
        return [each for id_key, each in self._resources.get(kind, {}).items() if id_key.startswith(prefix)]

    def kinds(self) -> list[str]:
        """Which kinds of resources there are."""
        return list(self._resources)

    def put(self, resource: Resource) -> Resource:
        """Write a resource; blobs that it names no more go once that is written down."""
        kind = self._resources.setdefault(resource.kind, {})
        old = kind.get(resource.key)
        self._changes(resource.key, old)
        doomed, named = list(self._doomed_blobs), _blobs_of(resource)
        self._undoable(lambda: self._restore(resource.kind, resource.key, old, doomed))
        self._doomed_blobs += [blob for blob in (_blobs_of(old) if old else ()) if blob not in named]
        kind[resource.key] = resource
        self._changed[resource.key] = resource
        return resource

    def remove(self, resource: Resource) -> None:
        """Forget a resource; its blob goes once that is written down."""
        self._changes(resource.key, resource)
        self._resources.get(resource.kind, {}).pop(resource.key, None)
        self._changed[resource.key] = None
        self.gone[resource.key] = self.clock()
        self._doomed_blobs += _blobs_of(resource)

    def _changes(self, id_key: str, old: Resource | None) -> None:
        if self._undo is None:
            self._remember(id_key, old)
        else:
            self._earlier.setdefault(id_key, old)

    def _remember(self, id_key: str, old: Resource | None) -> None:
        self.before.pop(id_key, None)
        self.before[id_key] = old

    @contextlib.contextmanager
    def rewound(self, id_key: str) -> Iterator[bool]:
        """Inside, a resource is as it was before its last change, for who reads; gives whether that makes a difference."""
        then = self.before.get(id_key)
        kind = next((kind for kind, found in self._resources.items() if id_key in found), then.kind if then else "")
        now = self._resources.get(kind, {})
        if id_key not in self.before or now.get(id_key) == then:
            yield False
            return
        self._resources[kind] = {each: found for each, found in {**now, id_key: then}.items() if found is not None}
        try:
            yield True
        finally:
            self._resources[kind] = now

    @contextlib.contextmanager
    def still_running(self, operation_id: str) -> Iterator[bool]:
        """Inside, an operation that has ended still runs, for who reads; gives whether it has ended."""
        ended = self._operations.get(operation_id)
        if ended is None or ended.ended is None:
            yield False
            return
        self._operations[operation_id] = replace(ended, status="InProgress", ended=None, error=None, output=None)
        try:
            yield True
        finally:
            self._operations[operation_id] = ended

    def violate(self, law: str, **details: Any) -> None:
        """Note that a client did what Azure lets happen but no client should do; not if the request is refused."""
        found = {"law": law, "time": timestamp(self.clock()), **details}
        for noted in (self.violations, self._new_violations):
            noted.append(found)
            self._undoable(noted.pop)

    # Operations

    def begin(
        self,
        family: Family,
        kind: str,
        target: str,
        *,
        location: str,
        api_version: str,
        steps: Iterable[Step],
        work: Json | None = None,
        shows_output: bool = False,
    ) -> Operation:
        """Start an operation; it goes on as time passes (`advance`)."""
        now = self.clock()
        fate, self.next_fate = self.next_fate, None
        ordered = sorted((replace(step, at=max(step.at, now) + self.lead) for step in steps), key=lambda step: step.at)
        operation = Operation(
            self.new_id(), family, kind, target.split("/")[2], location, api_version, target,
            now + self.lead, steps=tuple(ordered), work=work, shows_output=shows_output, fate=fate,
        )  # fmt: skip
        self._keep(operation)
        if work is not None:
            self._start_work(operation)
        return operation

    def operation(self, operation_id: str) -> Operation | None:
        """An operation by its guid."""
        return self._operations.get(operation_id)

    def running(self, target: str = "") -> list[Operation]:
        """The operations that are not over, on one resource or on all."""
        wanted = key(target)
        return [each for each in self._running.values() if not target or key(each.target) == wanted]

    def end(self, operation: Operation, status: str, error: Json | None) -> None:
        """End an operation before its time (preempted, injected)."""
        assert status in ("Failed", "Canceled")
        self._keep(operation.over(self.clock(), "Failed" if status == "Failed" else "Canceled", error))

    def call_off(self, operation: Operation) -> None:
        """End an operation because a newer request makes it useless; what is being made for it is given up."""
        self._unwanted |= works.made(operation.work)
        message = "Operation execution has been preempted by a more recent operation."
        self._fail(operation, {"code": "OperationPreempted", "message": message}, "Canceled")

    def wanted(self, blob: str) -> bool:
        """Whether it is of use to go on making a blob; may be asked from any thread."""
        return not self._retired and blob not in self._unwanted

    def retire(self) -> None:
        """From now on nothing that takes long is made; what is under way is given up, to be made after the next start."""
        self._retired = True

    def next_due(self) -> float | None:
        """When the next step is due; None when nothing is to come by time alone."""
        upcoming = self._upcoming()
        return None if upcoming is None else upcoming.steps[0].at

    def _upcoming(self) -> Operation | None:
        """The operation whose step is due first."""
        while self._timetable:
            at, _, operation_id = self._timetable[0]
            operation = self._running.get(operation_id)
            if operation and operation.work is None and operation.steps and operation.steps[0].at == at:
                return operation
            heapq.heappop(self._timetable)
        return None

    def advance(self) -> None:
        """Do what is due, in order of time."""
        now = self.clock()
        while (operation := self._upcoming()) is not None and operation.steps[0].at <= now:
            self._step(operation)
        self.commit()

    def forget(self, before: float) -> None:
        """Drop the operations that ended before a moment, and what was remembered of deletions."""
        for operation in [each for each in self._operations.values() if (each.ended or before) < before]:
            del self._operations[operation.id]
            self._changed_operations[operation.id] = None
        for id_key in [each for each, when in self.gone.items() if when < before]:
            del self.gone[id_key]
            self.before.pop(id_key, None)

    def commit(self) -> None:
        """Write down what changed, then delete the blobs that nothing names any more."""
        if self._changed or self._changed_operations or self._new_violations:
            self.state.save(self._changed.items(), self._changed_operations.items(), self._new_violations)
            self._changed, self._changed_operations, self._new_violations = {}, {}, []
        doomed, self._doomed_blobs = self._doomed_blobs, []
        for blob in doomed:
            if self.blobs.exists(blob):
                self.blobs.delete(blob)

    def close(self) -> None:
        """Power the machine off: write down the rest and take the devices away."""
        self.commit()
        self.devices.close()
        self.state.close()

    # Inside

    def _keep(self, operation: Operation) -> None:
        before = self._operations.get(operation.id, operation)
        self._doomed_blobs += [name for name in works.held(before.work) if name not in works.held(operation.work)]
        self._operations[operation.id] = operation
        self._changed_operations[operation.id] = operation
        if operation.status == "InProgress":
            self._run(operation)
        else:
            self._running.pop(operation.id, None)

    def _run(self, operation: Operation) -> None:
        self._running[operation.id] = operation
        if operation.work is None and operation.steps:
            heapq.heappush(self._timetable, (operation.steps[0].at, next(self._entries), operation.id))

    def _step(self, operation: Operation) -> None:
        step, rest = operation.steps[0], operation.steps[1:]
        self._keep(replace(operation, steps=rest))
        current = self._operations[operation.id]
        try:
            if operation.fate is not None and not rest:
                status, code, message = operation.fate
                self._fail(current, {"code": code, "message": message}, status, step.at)
                return
            output = self._actions[step.do](self, current, step.args, step.at)
        except Refused as refusal:
            self._fail(current, refusal.error())
            return
        except Exception as error:  # noqa: BLE001 - whatever a step does, only its own operation suffers
            self._broke(current, error)
            return
        if not rest and self._operations[operation.id].status == "InProgress":
            self._keep(self._operations[operation.id].over(step.at, "Succeeded", output=output))

    def _broke(self, operation: Operation, error: BaseException) -> None:
        """End an operation that localarm or this machine could not carry out."""
        log.error("%s of %s broke", operation.kind, operation.target, exc_info=error)
        self._fail(operation, {"code": "InternalExecutionError", "message": str(error) or type(error).__name__})

    def _fail(self, operation: Operation, error: Json, status: str = "Failed", at: float | None = None) -> None:
        self._actions["failed"](self, operation, {}, self.clock() if at is None else at)
        self.end(operation, status, error)

    def _start_work(self, operation: Operation) -> None:
        assert operation.work is not None
        if works.sources(operation.work) & self._being_made():
            return  # it starts when its source is there
        try:
            work = self._holding(operation, operation.work)
        except Exception as error:  # noqa: BLE001 - the source is not there, or the disk is full
            self._work_over(operation.id, operation.work, error)
            return
        self._workshop(
            lambda: self._work[work["do"]](self, work), lambda error: self._work_over(operation.id, work, error)
        )

    def _work_over(self, operation_id: str, work: Json, error: BaseException | None) -> None:
        if self._retired:
            return  # it stays to be done: after the next start it is looked at again
        operation, made = self._running.get(operation_id), works.made(work)
        if operation is not None:
            self._go_on(operation, error)
        else:  # called off; what came of it nevertheless is nobody's
            self._unwanted -= made
            self._doomed_blobs += [each for each in made if not self._named(each)]
        for other in [each for each in self._running.values() if works.sources(each.work) & made]:
            self._start_work(other)
        self.stirred()

    def _go_on(self, operation: Operation, error: BaseException | None) -> None:
        """The work of an operation is over: its steps can come, or it has failed."""
        now = self.clock()
        steps = tuple(replace(step, at=max(step.at, now)) for step in operation.steps)
        operation = replace(operation, work=None, steps=steps)
        self._keep(operation)
        if isinstance(error, Refused):
            self._fail(operation, error.error())
        elif error is not None:
            self._broke(operation, error)

    def _named(self, blob: str) -> bool:
        return any(blob in _blobs_of(each) for kind in self._resources.values() for each in kind.values())

    def _holding(self, operation: Operation, work: Json) -> Json:
        """The work of an operation, with names of its own for what it reads: the source may be deleted before it is read."""
        names = {name: f"held-{operation.id}-{number}" for number, name in enumerate(sorted(works.sources(work)))}
        if not names or works.held(work):  # nothing to read, or it has them since before a restart
            return work
        for name, as_name in names.items():
            self.share_blob(name, as_name)
        work = works.holding(work, names)
        self._keep(replace(operation, work=work))
        return work

    def _being_made(self) -> set[str]:
        return {name for each in self._running.values() for name in works.made(each.work)}

    def _load(self) -> None:
        resources, operations, self.violations = self.state.load()
        for resource in resources:
            self._resources.setdefault(resource.kind, {})[resource.key] = resource
        for operation in operations:
            self._operations[operation.id] = operation
            if operation.status == "InProgress":
                self._run(operation)

    def resume(self) -> None:
        """After a restart: sweep blobs nothing names, and go on with what was interrupted, or end what cannot go on."""
        named = {blob for kind in self._resources.values() for each in kind.values() for blob in _blobs_of(each)}
        named |= {name for operation in self._running.values() for name in works.held(operation.work)}
        for blob in list(self.blobs.names()):
            if blob not in named:
                self.blobs.delete(blob)
        for operation in list(self._running.values()):
            if operation.work is not None:
                self._start_work(operation)
            elif not operation.steps:  # an older localarm broke off in its last step
                self._broke(operation, RuntimeError("The operation was interrupted."))
        self.advance()


def _blobs_of(resource: Resource) -> list[str]:
    return [blob for blob in (resource.blob, *resource.hidden.get("blobs", {}).values()) if blob]
