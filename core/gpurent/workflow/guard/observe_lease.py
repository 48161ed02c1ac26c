"""Observation of one lease: from the Store, and from its machine over SSH."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from attrs import field, frozen

from gpurent.domain.guard_actions import ActionKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Metered
from gpurent.domain.outcomes import DONE, OutcomeKind
from gpurent.domain.result_paths import get_pattern_base, is_pattern
from gpurent.domain.transfer import TransferReport
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, UnavailableError
from gpurent.locale import _
from gpurent.ports.connection import SshConnection
from gpurent.ports.store import Store
from gpurent.ports.system import ProviderClock, ProviderClocks
from gpurent.remote.samples import GuardSample, compute_cpu_load, guard_sample_command, parse_guard_sample
from gpurent.roles.lease import SupportsRenewal
from gpurent.workflow.connection.jobs import JobRunners
from gpurent.workflow.connection.ownership import OwnershipProof
from gpurent.workflow.connection.transfers import work_folder
from gpurent.workflow.guard.facts import LeaseFacts, ObservedMachine
from gpurent.workflow.guard.observe_provider import ObservedProvider
from gpurent.workflow.guard.saved_state import GuardMemories, LeaseMemory, is_action
from gpurent.workflow.guard.spending import billed_cost
from gpurent.workflow.guard.warnings import catch_failure
from gpurent.workflow.payments.meters import MeterReading, Meters
from gpurent.workflow.runtime.locks import WorkLocks
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.steps.keep_results import find_kept_results
from gpurent.workflow.timing.guard_policy import GuardPolicies, GuardPolicy
from gpurent.workflow.timing.lease_budgets import smallest_budget
from gpurent.workflow.timing.machine_timer import MachineTimers
from gpurent.workflow.timing.time_left import TimeWarnings

ANSWER_TIMEOUT = 45.0
_ENDED_WITH_LEASE = (OutcomeKind.RELEASED, OutcomeKind.STOPPED)
MAX_CONCURRENT = 8


@frozen(kw_only=True)
class GuardedTrip:
    """The trip that created a lease, and whose limits it has. ``is_attended``: a live process works on it."""

    id: str
    spec: TripSpec
    is_attended: bool
    launched: bool

    @property
    def job_name(self) -> str:
        return self.spec.job.name or self.id

    @property
    def wants_results(self) -> bool:
        return self.spec.results.are_wanted

    @property
    def measured_paths(self) -> Sequence[str]:
        """The paths on the machine whose size is measured, relative to the home folder: of a pattern, its folder."""
        names = (get_pattern_base(name) if is_pattern(name) else name for name in self.spec.results.paths)
        return tuple(dict.fromkeys(f"{work_folder(self.id, self.spec.upload)}/{name}" for name in names))


@frozen
class StoreObserver:
    store: Store
    locks: WorkLocks

    async def find_trip(self, lease: str) -> GuardedTrip | None:
        """Return the trip whose limits the living lease has: the open one, else the one that its end had closed.

        A lease that was taken for ended and is alive after all keeps its limits; nothing else of that trip goes on.
        """
        records = [record for record in await self.store.list_trips(lease) if record.kind in ("run", "rent")]
        for record in records:
            if record.is_open:
                steps = await self.store.list_steps(record.id)
                launched = any(step.name.endswith(".launch") and step.done_at for step in steps)
                minded = await self.locks.is_trip_locked(record.id)
                return GuardedTrip(id=record.id, spec=record.spec, is_attended=minded, launched=launched)
        for record in reversed(records):
            if record.outcome is not None and record.outcome.kind in _ENDED_WITH_LEASE:
                return GuardedTrip(id=record.id, spec=record.spec, is_attended=False, launched=False)
        return None

    async def count_renewals(self, lease: str) -> int:
        """Return how often the guard has renewed ``lease``, including a renewal that is in progress."""
        return sum(
            record.outcome in (None, DONE)
            for record in await self.store.list_trips(lease)
            if is_action(record, ActionKind.RENEW)
        )

    async def compute_upload_rate(self, trip: str) -> int:
        """Return the bytes per second (provider time) of the uploads of ``trip``; 0 if not known."""
        size, time = 0, timedelta()
        for step in await self.store.list_steps(trip):
            if step.name.endswith(".upload") and step.done_at is not None:
                report = await self.store.find_step_value(trip, step.name, TransferReport)
                size += report.sent if report else 0
                time += step.done_at - step.started_at
        # Small uploads measure the handshake rather than the throughput.
        return size // max(1, time // timedelta(seconds=1)) if size >= 1 << 20 else 0


def compute_idle_since(seen: ObservedMachine, before: datetime | None, limit: int) -> datetime | None:
    """Return since when the machine has been idle; None while it is in use. ``limit`` is the load in percent."""
    busy = any(share is not None and share > limit for share in (seen.cpu, seen.gpu))
    if busy or seen.attached:
        return None
    start = before or seen.at
    return max(start, seen.output_at) if seen.output_at else start


@frozen
class MachineObserver:
    """Observes machines over SSH, at most `MAX_CONCURRENT` at once."""

    ownership: OwnershipProof
    runners: JobRunners
    clocks: ProviderClocks
    _semaphore: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(MAX_CONCURRENT), init=False)

    async def update_memory(
        self, lease: Lease, trip: GuardedTrip | None, policy: GuardPolicy, memory: LeaseMemory
    ) -> None:
        """Observe the machine and remember the result, if an observation is due and needed."""
        wanted = policy.idle is not None or (trip is not None and trip.launched)
        if lease.state is not LeaseState.READY or not wanted:
            return
        every = policy.check_interval if policy.idle is None else min(policy.check_interval, policy.idle / 3)
        before = memory.machine
        if (
            before is not None
            and timedelta() <= self.clocks.clock_of(lease.provider).now() - before.at < every
        ):
            return
        async with self._semaphore:
            memory.machine = await self._observe_machine(lease, trip, before)
        memory.idle_since = compute_idle_since(memory.machine, memory.idle_since, policy.idle_load)

    async def _observe_machine(
        self, lease: Lease, trip: GuardedTrip | None, before: ObservedMachine | None
    ) -> ObservedMachine:
        """Observe the machine once. Raises `UnavailableError` if it does not answer in time."""
        if lease.endpoint is None:
            raise UnavailableError(_("{lease} has no address yet").format(lease=lease.id), retryable=True)
        begun = self.clocks.clock_of(lease.provider).now()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                connection = await self.ownership.open_connection(lease, lease.endpoint)
                try:
                    return await self._read_machine(connection, lease, trip, before, begun)
                finally:
                    await connection.close()
        except TimeoutError:
            raise UnavailableError(
                _("{lease} did not answer within {seconds:g} s").format(
                    lease=lease.id, seconds=ANSWER_TIMEOUT
                ),
                retryable=True,
            ) from None

    async def _read_machine(
        self,
        ssh: SshConnection,
        lease: Lease,
        trip: GuardedTrip | None,
        before: ObservedMachine | None,
        begun: datetime,
    ) -> ObservedMachine:
        runner = self.runners.make_runner(ssh, lease, trip.spec.job.session if trip else "")
        found = parse_guard_sample(
            (await ssh.run(guard_sample_command(trip.measured_paths if trip else ()))).stdout
        )
        job = await runner.get_status(trip.job_name) if trip is not None and trip.launched else None
        attached = any(info.attached for info in await runner.list_sessions())
        clock = self.clocks.clock_of(lease.provider)
        now = clock.now()
        return ObservedMachine(
            at=now,
            # A slow connection may be slow again, so the previous duration decays slowly.
            duration=max(now - begun, before.duration * 3 / 4 if before else timedelta()),
            job=job,
            cpu=compute_cpu_load(before.ticks if before else None, found.cpu_ticks),
            gpu=found.gpu_load,
            output_at=_compute_output_at(found, before, clock),
            attached=attached,
            result_size=sum(found.result_sizes.values()),
            ticks=found.cpu_ticks,
            last_write=found.last_output,
        )


def _compute_output_at(
    found: GuardSample, before: ObservedMachine | None, clock: ProviderClock
) -> datetime | None:
    """Return the time of the last output (provider time); it is fixed until new output, even if a clock is set."""
    if found.last_output is None or found.machine_time is None:
        return None
    if before is not None and before.last_write == found.last_output and before.output_at is not None:
        return before.output_at
    age = timedelta(seconds=max(0, found.machine_time - found.last_output))
    return min(clock.now(), clock.from_wall_time(datetime.now(UTC) - age))


@frozen
class FactsCollector:
    store_observer: StoreObserver
    memories: GuardMemories
    plugins: Plugins
    timers: MachineTimers
    time_warnings: TimeWarnings

    async def collect_facts(
        self,
        lease: Lease,
        trip: GuardedTrip | None,
        policy: GuardPolicy,
        provider: ObservedProvider,
        meter: MeterReading | None,
        now: datetime,
    ) -> LeaseFacts:
        price = meter.price if meter is not None else None
        memory = await self.memories.get_memory(lease.id)
        trips = (trip.id,) if trip else ()
        return LeaseFacts(
            lease=lease,
            now=now,
            time_left=provider.times[lease.id],
            known_to_provider=self.plugins.is_known_to_provider(lease),
            can_renew=self._can_renew(lease),
            price=price,
            spent=meter.used if meter is not None else billed_cost(lease),
            is_own_count=meter is not None and meter.is_own_count,
            budget=await smallest_budget(self.store_observer.store, trips, price.currency, policy.budget)
            if price
            else None,
            month_left=provider.month_left,
            trip_id=trip.id if trip else "",
            is_attended=bool(trip and trip.is_attended),
            launched=bool(trip and trip.launched),
            has_results=bool(trip and trip.launched and trip.wants_results),
            machine=memory.machine,
            idle_since=memory.idle_since,
            upload_rate=await self.store_observer.compute_upload_rate(trip.id) if trip else 0,
            renewal_count=await self.store_observer.count_renewals(lease.id),
            top_up_requested=provider.top_up_requested,
            timer_until=await self.timers.find_deadline(lease),
            timer_by_policy=await self.timers.is_armed_by_policy(lease),
            warning_thresholds=self.time_warnings.get_thresholds(lease.provider),
            warned_at=dict(memory.warned_at),
            saved_at=await self.memories.find_results_saved_at(lease.id),
            results_kept_until=await self._find_kept_until(lease, trip),
        )

    def _can_renew(self, lease: Lease) -> bool:
        try:
            return isinstance(self.plugins.provider_of(lease), SupportsRenewal)
        except GpurentError:
            return False  # the plugin cannot be built, which is reported where the provider is asked

    async def _find_kept_until(self, lease: Lease, trip: GuardedTrip | None) -> datetime | None:
        kept = await find_kept_results(self.store_observer.store, trip.id, lease.id) if trip else None
        return kept.until if kept is not None else None


@frozen
class GuardedLeaseObserver:
    policies: GuardPolicies
    machine_observer: MachineObserver
    collector: FactsCollector
    meters: Meters
    clocks: ProviderClocks

    async def observe_lease(
        self, lease: Lease, provider: ObservedProvider, memory: LeaseMemory
    ) -> tuple[LeaseFacts, GuardPolicy, list[str]]:
        """Return the facts, the lease's policy, and why the machine or its meter could not be observed."""
        observed = self.collector.store_observer
        lease = await observed.store.find_lease(lease.id) or lease
        trip = await observed.find_trip(lease.id)
        spec, trip_id = (trip.spec, trip.id) if trip else (None, "")
        policy = self.policies.get_policy(lease.provider, spec, lease=lease.id, trip=trip_id)
        troubles = [await catch_failure(self.machine_observer.update_memory(lease, trip, policy, memory))]
        meter = None
        if isinstance(lease.offer.tariff, Metered):
            has_budget = policy.budget is not None or (spec is not None and spec.limits.budget is not None)
            asks = has_budget or provider.month_left is not None
            meter = await self.meters.read_meter(lease) if asks else await self.meters.estimate_meter(lease)
            troubles.append(meter.problem)
        now = self.clocks.clock_of(lease.provider).now()
        return await self.collector.collect_facts(lease, trip, policy, provider, meter, now), policy, troubles
