"""All durable state: trips and their steps, leases, orders, payments, questions, locks, and the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from gpurent.ports.backup_store import RestoreStore, SnapshotStore
from gpurent.ports.lock_store import LockStore
from gpurent.ports.payment_store import MailBindingStore, PaymentStore
from gpurent.ports.volume_store import VolumeStore
from gpurent.ports.watch_store import (
    AccountStore,
    BalanceStore,
    GuardStore,
    MeterStore,
    OrphanStore,
    PluginStateStore,
    ThresholdStore,
    TimerStore,
)

if TYPE_CHECKING:
    from gpurent.domain.guard_actions import GuardAction
    from gpurent.domain.lease import Lease
    from gpurent.domain.ledger import Transaction
    from gpurent.domain.ledger_chain import BrokenEntry, LedgerHead
    from gpurent.domain.orders import OrderOutcome, OrderRecord
    from gpurent.domain.outcomes import TripOutcome
    from gpurent.domain.question import Question
    from gpurent.domain.summaries import LeasePeriod, LedgerMovement, StepTime
    from gpurent.domain.trip import StepRecord, TripRecord, TripSpec

T = TypeVar("T")


class TripStore(Protocol):
    """Trips and their durable steps. What was written is on disk when the call returns."""

    async def begin_trip(
        self, trip_id: str, kind: str, spec: TripSpec, lease_id: str = "", action: GuardAction | None = None
    ) -> TripRecord: ...
    async def set_trip_spec(self, trip_id: str, spec: TripSpec) -> None: ...
    async def set_trip_lease(self, trip_id: str, lease_id: str) -> None: ...
    async def end_trip(self, trip_id: str, outcome: TripOutcome) -> None: ...
    async def list_trips(self, lease_id: str = "") -> Sequence[TripRecord]:
        """Return all trips, or those of one lease, oldest first."""

    async def list_open_trips(self) -> Sequence[TripRecord]:
        """Return the trips without an outcome, oldest first."""

    async def find_trip(self, trip_id: str) -> TripRecord | None: ...

    async def begin_step(self, trip_id: str, step: str) -> None:
        """Record that a step begins. If it was begun before and never recorded, the first time is kept."""

    async def record_step(self, trip_id: str, step: str, value: object) -> None:
        """Record the result of a step; raises `LookupError` if it was never begun, as its intent was not on disk."""

    async def find_step_value(self, trip_id: str, step: str, kind: type[T]) -> T | None:
        """Return the result of a step; None if it was not recorded."""

    async def list_steps(self, trip_id: str) -> Sequence[StepRecord]:
        """Return the steps in the order in which they were begun."""

    async def discard_steps(self, trip_id: str, names: Iterable[str]) -> None:
        """Remove steps of an attempt that bought nothing, in one commit, so that they run again."""

    async def list_recorded_steps(self, trip_id: str, suffix: str, kind: type[T]) -> Sequence[tuple[str, T]]:
        """Return ``(step, value)`` of the trip's recorded steps whose name ends with ``suffix``, oldest first."""


class LockedTripStore(TripStore, LockStore, Protocol):
    """Trips and their locks."""


class LeaseStore(Protocol):
    """Leases as they were last reported.

    Whatever writes a lease also ends its unfinished order, in the same commit, if the lease says how it ended
    (`gpurent.domain.orders.find_outcome`): no process may die between the two.
    """

    async def save_lease(self, lease: Lease) -> None: ...
    async def swap_lease(self, before: Lease, after: Lease) -> bool:
        """Write ``after`` only if the stored lease equals ``before``; another process may have changed it."""

    async def find_lease(self, lease_id: str) -> Lease | None: ...
    async def list_leases(self) -> Sequence[Lease]:
        """Return all leases ever, oldest first."""

    async def list_open_leases(self) -> Sequence[Lease]:
        """Return the leases that are not over, oldest first."""


class OrderStore(Protocol):
    """Orders: at most one unfinished order for each lease, and for each claimed offer.

    One offer is claimed by one account of a provider, and by one of the names that the user's accounts there have.
    """

    async def open_order(self, order: OrderRecord) -> OrderRecord | None:
        """Record an unfinished order; ``opened_at`` is set here.

        Return None if it is recorded now or was before, otherwise the unfinished order that is in its way.
        """

    async def end_order(self, key: str, outcome: OrderOutcome) -> None:
        """Record how an order ended; one that has ended already keeps its outcome."""

    async def find_order(self, key: str) -> OrderRecord | None: ...
    async def find_open_order(self, lease_id: str) -> OrderRecord | None: ...
    async def list_trip_orders(self, trip_id: str) -> Sequence[OrderRecord]:
        """Return the orders of a trip, oldest first."""


class LeaseOrderStore(LeaseStore, OrderStore, LockStore, Protocol):
    """Leases, their orders and their locks."""


class QuestionStore(Protocol):
    """Questions to the user, by their ID."""

    async def put_question(self, question: Question) -> None:
        """Store a question asked now; if it was asked before, the first time is kept."""

    async def list_open_questions(self, trip_id: str) -> Sequence[Question]:
        """Return the questions of a trip that were not answered, oldest first."""

    async def find_answer(self, question_id: str) -> str | None: ...
    async def put_answer(self, question_id: str, answer: str) -> None: ...


class LedgerStore(Protocol):
    """The append-only ledger."""

    async def add_transactions(self, transactions: Iterable[Transaction]) -> int:
        """Add the transactions that are not there yet, in one commit; return how many were added."""

    async def add_payments(self, payments: Sequence[Sequence[Transaction]]) -> int:
        """Add each payment's transactions, unless there is an entry with the ref of its first one; in one commit.

        An account that is not known may be any. Return how many transactions were added.
        """

    async def find_broken_entry(self) -> BrokenEntry | None:
        """Return the first entry that does not match the hash chain of its account; None if all do."""

    async def list_heads(self) -> Sequence[LedgerHead]:
        """Return the newest entry of each account that has entries."""

    async def find_link(self, provider: str, account: str, number: int) -> str:
        """Return the link of an account's entry in its chain, counted from 1; empty if there is none."""

    async def list_providers(self) -> Sequence[str]:
        """Return the providers that have entries."""

    async def list_transactions(
        self,
        *,
        provider: str = "",
        account: str = "",
        lease: str = "",
        trip: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        ref: str = "",
    ) -> Sequence[Transaction]:
        """Return transactions in the order of entry; ``since`` is inclusive, ``until`` exclusive.

        With ``account``, also those whose account is not known.
        """


class SummaryStore(Protocol):
    """Short forms of many records at once; each method costs one query, however many trips there are."""

    async def list_unbooked_trips(self) -> Sequence[str]:
        """Return the trips with a payment whose proof is in no ledger entry."""

    async def list_fee_payments(self, provider: str) -> Sequence[tuple[str, str]]:
        """Return trip and proof of each payment to ``provider`` that was not for a lease, oldest first."""

    async def list_lease_periods(self) -> Sequence[LeasePeriod]:
        """Return the periods of all leases ever, oldest first."""

    async def list_failed_starts(self) -> frozenset[str]:
        """Return the leases that were given back because their machine never answered."""

    async def list_settled_leases(self) -> frozenset[str]:
        """Return the leases with charges in the ledger, nothing held, and no running meter."""

    async def list_movements(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[LedgerMovement]:
        """Return the ledger's entries in the order of entry; ``since`` is inclusive, ``until`` exclusive."""

    async def list_step_times(self, trip: str = "") -> Sequence[StepTime]:
        """Return uploads, setups, launches, monitors and releases: of one trip or of all trips, oldest trip first."""


class WatchStore(BalanceStore, ThresholdStore, TimerStore, MeterStore, GuardStore, OrphanStore, Protocol):
    """What was last seen of leases and accounts, and what was already reported."""


class Store(
    TripStore,
    LeaseOrderStore,
    PaymentStore,
    MailBindingStore,
    WatchStore,
    VolumeStore,
    AccountStore,
    PluginStateStore,
    QuestionStore,
    SnapshotStore,
    RestoreStore,
    Protocol,
):
    """The only access to durable state. A component that needs less takes one of the narrower ports."""

    @property
    def ledger(self) -> LedgerStore: ...
    @property
    def summaries(self) -> SummaryStore: ...
    def close(self) -> None: ...
