"""What is known of one lease: from the Store, and from a look at its machine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from attrs import field, frozen

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Metered
from gpurent.domain.transfer import TransferReport
from gpurent.domain.trip import TripSpec
from gpurent.errors import UnavailableError
from gpurent.locale import _
from gpurent.ports.connection import Connector, SshConnection
from gpurent.ports.services import SecretStore
from gpurent.ports.store import Store
from gpurent.ports.system import Clock, ProviderClock
from gpurent.remote.samples import GuardSample, cpu_load, guard_command, parse_guard_sample
from gpurent.roles.lease import SupportsRenewal
from gpurent.workflow.connection.jobs import JobRunners
from gpurent.workflow.connection.transfers import work_folder
from gpurent.workflow.guard.facts import Facts, ObservedMachine
from gpurent.workflow.guard.observe_provider import ObservedProvider
from gpurent.workflow.guard.records import GuardMemories, LeaseMemory, action_name, is_action
from gpurent.workflow.guard.spending import billed_cost, metered_cost, smallest_budget
from gpurent.workflow.guard.warnings import trouble_of
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.waiting import WorkLocks
from gpurent.workflow.timing.guard_policy import GuardPolicies, GuardPolicy
from gpurent.workflow.timing.machine_timer import MachineTimers
from gpurent.workflow.timing.time_left import TimeAlarms

ANSWER = 45.0
SIDE_BY_SIDE = 8


@frozen(kw_only=True)
class GuardedTrip:
    """The open trip that made a lease. ``minded``: a living process works on it."""

    id: str
    spec: TripSpec
    minded: bool
    launched: bool

    @property
    def job_name(self) -> str:
        return self.spec.job.name or self.id

    @property
    def results(self) -> Sequence[str]:
        """Its results' places on the machine, relative to the home."""
        return tuple(f"{work_folder(self.id)}/{name}" for name in self.spec.results.paths)


@frozen
class StoreObserver:
    store: Store
    locks: WorkLocks

    def trip_of(self, lease: str) -> GuardedTrip | None:
        for record in self.store.trips(lease):
            if record.kind in ("run", "rent") and record.under_way:
                steps = self.store.steps(record.id)
                launched = any(step.name.endswith(".launch") and step.done_at for step in steps)
                minded = self.locks.trip_is_held(record.id)
                return GuardedTrip(id=record.id, spec=record.spec, minded=minded, launched=launched)
        return None

    def renewals(self, lease: str) -> int:
        """How often the guard has bought more time for ``lease``, or is about to."""
        head = action_name("renew", "")
        return sum(
            record.outcome in ("", "done") for record in self.store.trips(lease) if is_action(record, head)
        )

    def upload_rate(self, trip: str) -> int:
        """Bytes a second of provider time, by what ``trip`` uploaded; 0 when not known."""
        size, time = 0, timedelta()
        for step in self.store.steps(trip):
            if step.name.endswith(".push") and step.done_at is not None:
                report = self.store.recall_step(trip, step.name, TransferReport)
                size += report.sent if report else 0
                time += step.done_at - step.begun_at
        # What is small says how long a greeting takes, not how fast the connection is.
        return size // max(1, time // timedelta(seconds=1)) if size >= 1 << 20 else 0


def idle_since(seen: ObservedMachine, before: datetime | None, limit: int) -> datetime | None:
    """Since when nobody has used the machine; None while somebody does. ``limit`` of the load in percent."""
    busy = any(share is not None and share > limit for share in (seen.cpu, seen.gpu))
    if busy or seen.attached:
        return None
    start = before or seen.at
    return max(start, seen.output_at) if seen.output_at else start


@frozen
class MachineObserver:
    """Looks at machines over SSH, at most `SIDE_BY_SIDE` at once."""

    connector: Connector
    secrets: SecretStore
    runners: JobRunners
    clock: ProviderClock
    _gate: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(SIDE_BY_SIDE), init=False)

    async def update(
        self, lease: Lease, trip: GuardedTrip | None, policy: GuardPolicy, memory: LeaseMemory
    ) -> None:
        """Look and remember it, when it is time to and somebody wants to know."""
        wanted = policy.idle is not None or (trip is not None and trip.launched)
        if lease.state is not LeaseState.READY or not wanted:
            return
        every = policy.look if policy.idle is None else min(policy.look, policy.idle / 3)
        before = memory.machine
        if before is not None and timedelta() <= self.clock.now() - before.at < every:
            return
        async with self._gate:
            memory.machine = await self._observe(lease, trip, before)
        memory.idle_since = idle_since(memory.machine, memory.idle_since, policy.idle_load)

    async def _observe(
        self, lease: Lease, trip: GuardedTrip | None, before: ObservedMachine | None
    ) -> ObservedMachine:
        """One look. No answer in time is an `UnavailableError`."""
        if lease.endpoint is None:
            raise UnavailableError(_("{lease} has no address yet").format(lease=lease.id), retryable=True)
        begun = self.clock.now()
        password = self.secrets.scoped(lease.provider).get(lease.password_ref)
        try:
            async with asyncio.timeout(ANSWER):
                connection = await self.connector.open(lease.id, lease.endpoint, password)
                try:
                    return await self._read(connection, lease, trip, before, begun)
                finally:
                    await connection.aclose()
        except TimeoutError:
            raise UnavailableError(
                _("{lease} does not answer within {seconds:g} s").format(lease=lease.id, seconds=ANSWER),
                retryable=True,
            ) from None

    async def _read(
        self,
        ssh: SshConnection,
        lease: Lease,
        trip: GuardedTrip | None,
        before: ObservedMachine | None,
        begun: datetime,
    ) -> ObservedMachine:
        runner = self.runners.on(ssh, lease, trip.spec.job.session if trip else "")
        found = parse_guard_sample((await ssh.run(guard_command(trip.results if trip else ()))).out)
        job = await runner.status(trip.job_name) if trip is not None and trip.launched else None
        attached = any(info.attached for info in await runner.listing())
        now = self.clock.now()
        return ObservedMachine(
            at=now,
            # A connection that was slow may be slow again: what it took before fades only slowly.
            took=max(now - begun, before.took * 3 / 4 if before else timedelta()),
            job=job,
            cpu=cpu_load(before.ticks if before else None, found.ticks),
            gpu=found.gpu,
            output_at=self._output_at(found, before, now),
            attached=attached,
            size=sum(found.result_sizes.values()),
            ticks=found.ticks,
            wrote=found.wrote,
        )

    def _output_at(
        self, found: GuardSample, before: ObservedMachine | None, now: datetime
    ) -> datetime | None:
        """In provider time; once known it stays, whatever clock is set, as long as nothing new was written."""
        if found.wrote is None or found.now is None:
            return None
        if before is not None and before.wrote == found.wrote and before.output_at is not None:
            return before.output_at
        age = timedelta(seconds=max(0, found.now - found.wrote))
        return min(now, self.clock.from_wall(datetime.now(UTC) - age))


@frozen
class FactsCollector:
    observed: StoreObserver
    memories: GuardMemories
    plugins: Plugins
    timers: MachineTimers
    alarms: TimeAlarms

    def collect(
        self,
        lease: Lease,
        trip: GuardedTrip | None,
        policy: GuardPolicy,
        provider: ObservedProvider,
        now: datetime,
    ) -> Facts:
        price = lease.offer.tariff.price if isinstance(lease.offer.tariff, Metered) else None
        memory = self.memories.of(lease.id)
        trips = (trip.id,) if trip else ()
        return Facts(
            lease=lease,
            now=now,
            time=provider.times[lease.id],
            listed=self.plugins.is_listed(lease),
            extends=isinstance(self.plugins.provider_of(lease), SupportsRenewal),
            price=price,
            spent=metered_cost(lease, price, now) if price else billed_cost(lease),
            budget=smallest_budget(self.observed.store, trips, price.currency, policy.budget)
            if price
            else None,
            month=provider.month,
            trip=trip.id if trip else "",
            minded=bool(trip and trip.minded),
            launched=bool(trip and trip.launched),
            results=bool(trip and trip.launched and trip.results),
            machine=memory.machine,
            idle_since=memory.idle_since,
            rate=self.observed.upload_rate(trip.id) if trip else 0,
            renewed=self.observed.renewals(lease.id),
            topping=provider.topping,
            timer_until=self.timers.remembered(lease),
            timer_by_policy=self.timers.is_by_policy(lease),
            alarms=self.alarms.thresholds(lease.provider),
            said=dict(memory.said),
            saved_at=self.memories.saved_at(lease.id),
        )


@frozen
class LeaseObserver:
    policies: GuardPolicies
    machines: MachineObserver
    collector: FactsCollector
    clock: Clock

    async def observe(
        self, lease: Lease, provider: ObservedProvider, memory: LeaseMemory
    ) -> tuple[Facts, GuardPolicy, str]:
        """The facts, what may be done, and why the machine could not be looked at."""
        observed = self.collector.observed
        lease = observed.store.lease(lease.id) or lease
        trip = observed.trip_of(lease.id)
        limits, trip_id = (trip.spec.limits, trip.id) if trip else (None, "")
        policy = self.policies.policy(lease.provider, limits, lease=lease.id, trip=trip_id)
        trouble = await trouble_of(self.machines.update(lease, trip, policy, memory))
        return self.collector.collect(lease, trip, policy, provider, self.clock.now()), policy, trouble
