"""A lease and the states of its life cycle."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from types import MappingProxyType

from attrs import evolve, field, frozen

from gpurent.domain.access import AccessSource, Endpoint
from gpurent.domain.create_claim import CreateClaim
from gpurent.domain.machine_facts import MachineFacts
from gpurent.domain.money import UnitPrice
from gpurent.domain.offer import Bill, DeclaredTerms, Metered, Offer, OrderKind
from gpurent.errors import LeaseError
from gpurent.locale import N_, _
from gpurent.terminal_text import NO_TEXT, ForeignText


class LeaseState(Enum):
    """The state of a lease.

    STOPPED and INTERRUPTED: shut down by us or by the provider, and still rented; billed, unless `Lease.is_kept_free`.
    MISSING: the provider's answers lack it, but nothing shows that it ended. KEPT: over, with its files kept free of
    charge. GONE: nothing of it is left.
    """

    REQUESTED = "requested"
    PAYABLE = "payable"
    PROVISIONING = "provisioning"
    READY = "ready"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    MISSING = "missing"
    RELEASING = "releasing"
    RELEASED = "released"
    EXPIRED = "expired"
    FAILED = "failed"
    CANCELLED = "cancelled"
    KEPT = "kept"
    GONE = "gone"

    @property
    def title(self) -> str:
        """The state in the user's language."""
        return _(_STATE_TITLES[self])


_S = LeaseState
_STATE_TITLES = {
    _S.REQUESTED: N_("requested"),
    _S.PAYABLE: N_("awaiting payment"),
    _S.PROVISIONING: N_("starting"),
    _S.READY: N_("running"),
    _S.STOPPED: N_("stopped, still billed"),
    _S.INTERRUPTED: N_("interrupted by the provider"),
    _S.MISSING: N_("missing"),
    _S.RELEASING: N_("releasing"),
    _S.RELEASED: N_("released"),
    _S.EXPIRED: N_("expired"),
    _S.FAILED: N_("failed"),
    _S.CANCELLED: N_("cancelled"),
    _S.KEPT: N_("shut down, files kept"),
    _S.GONE: N_("gone"),
}
STOPPED_STATES = frozenset({_S.STOPPED, _S.INTERRUPTED})
OVER_STATES = frozenset({_S.RELEASED, _S.EXPIRED, _S.FAILED, _S.CANCELLED, _S.KEPT, _S.GONE})
_ALIVE_STATES = frozenset({_S.PROVISIONING, _S.READY, _S.STOPPED, _S.INTERRUPTED, _S.MISSING, _S.RELEASING})
_LEAVING_STATES = OVER_STATES - {_S.CANCELLED}
# A lease that is over and then seen alive is revised: the earlier end was a mistake.
_TRANSITIONS = {
    _S.REQUESTED: frozenset({_S.PAYABLE, _S.CANCELLED, _S.FAILED, _S.GONE}) | _ALIVE_STATES,
    _S.PAYABLE: frozenset({_S.CANCELLED, _S.FAILED, _S.EXPIRED, _S.GONE}) | _ALIVE_STATES,
    **dict.fromkeys(_ALIVE_STATES, _ALIVE_STATES | _LEAVING_STATES),
    **{state: _ALIVE_STATES | {_S.KEPT, _S.GONE, _S.RELEASED} for state in OVER_STATES},
}
TRANSITIONS: Mapping[LeaseState, frozenset[LeaseState]] = MappingProxyType(_TRANSITIONS)
_UNCONFIRMED_STATES = frozenset({_S.REQUESTED, _S.PAYABLE, _S.CANCELLED})
# Not running, or not seen to run, and perhaps billed all the same.
BILLED_STATES = frozenset({_S.STOPPED, _S.INTERRUPTED, _S.MISSING})


@frozen(kw_only=True)
class PendingOrder:
    """An order in progress for a lease. ``ref`` is the provider's order ID; ``bill`` is set once the order can be paid.

    ``offer`` is what a SWITCH changes to. ``sent_at``: when core first called `LeaseProvider.confirm_lease` for it;
    None during that first call, so that a provider knows whether an earlier request may have taken effect. ``paid``
    true: paid and reported to the provider, which has not confirmed the payment yet.
    """

    key: str
    kind: OrderKind
    ref: str = field(default=NO_TEXT, converter=ForeignText)
    offer: Offer | None = None
    bill: Bill | None = None
    sent_at: datetime | None = None
    paid: bool = False


@frozen(kw_only=True)
class Lease:
    """One rented machine as the provider last described it.

    ``id`` is our own and never changes; ``ref`` is the provider's and may change on a SWITCH. ``account`` is whose it
    is at the provider; empty if that is not known. ``label`` is journaled before the order. ``provider_data`` holds the
    plugin's own data as text. ``bills`` are all bills ever paid for this lease. All times are provider time.
    ``expires_at`` is None for a metered lease. ``note`` explains the current state. ``declared`` is set for an adopted
    lease, whose terms were given by the user. ``machine_facts`` is what was found on the machine.

    ``completed_orders`` are the keys of the orders whose payment the provider counted. ``needs_proof``: the machine was
    recognised by elimination, so nothing may be done to it before it accepts this order's own password; a release may
    follow from ``claim`` too.
    ``release_requested_at`` is set before the first call that releases. ``absent_since`` is the first of the good
    answers in a row that lacked the lease, ``last_seen_state`` its state before those. ``restarted_from``: the lease
    whose machine this one is, started again. ``access_source`` is where ``endpoint`` and its password came from.
    ``claim`` is what tells the machine of a create by elimination. ``books_closed_at``: when, after its end, the ledger
    got all charges that the account lists for it, and nothing was held any more. ``start_failed_at``: when it was given
    up because it had not started in time. ``stops_at``: when the service itself shuts the machine down, as it was last
    told or said. ``volume``: the id of our volume that it mounts.
    """

    id: str
    provider: str
    offer: Offer
    state: LeaseState = LeaseState.REQUESTED
    ref: str = field(default=NO_TEXT, converter=ForeignText)
    label: str = field(default=NO_TEXT, converter=ForeignText)
    pending: PendingOrder | None = None
    endpoint: Endpoint | None = None
    password_ref: str = ""
    started_at: datetime | None = None
    expires_at: datetime | None = None
    ended_at: datetime | None = None
    kept_until: datetime | None = None
    bills: tuple[Bill, ...] = ()
    provider_data: Mapping[str, str] = field(factory=dict)
    note: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    declared: DeclaredTerms | None = None
    machine_facts: MachineFacts | None = None
    completed_orders: tuple[str, ...] = ()
    needs_proof: bool = False
    release_requested_at: datetime | None = None
    absent_since: datetime | None = None
    last_seen_state: LeaseState | None = None
    account: str = field(default=NO_TEXT, converter=ForeignText)
    adopted_at: datetime | None = None
    restarted_from: str = ""
    access_source: AccessSource = AccessSource()
    claim: CreateClaim | None = None
    start_failed_at: datetime | None = None
    books_closed_at: datetime | None = None
    stops_at: datetime | None = None
    volume: str = ""

    def with_state(self, state: LeaseState, note: str = "") -> Lease:
        """Return this lease in another state; raises `LeaseError` for a transition that is not in `TRANSITIONS`."""
        if state is not self.state and state not in TRANSITIONS[self.state]:
            raise LeaseError(
                _("lease {id} cannot change from {before} to {after}").format(
                    id=self.id, before=self.state.title, after=state.title
                )
            )
        return evolve(self, state=state, note=note or self.note)

    def enter_state(self, state: LeaseState, note: str = "") -> Lease:
        """As `with_state`; a lease that is in this state already keeps its note."""
        return self if self.state is state else self.with_state(state, note)

    @property
    def has_cost(self) -> bool:
        """Whether the lease has cost money, or its meter may have run: never for an order that was not confirmed."""
        if self.state in _UNCONFIRMED_STATES:
            return False
        paid = any(bill.amount.amount for bill in self.bills)
        is_billed = self.state in BILLED_STATES or isinstance(self.offer.tariff, Metered)
        return paid or self.started_at is not None or is_billed

    @property
    def is_over(self) -> bool:
        """Whether the lease has ended and no longer costs money."""
        return self.state in OVER_STATES

    @property
    def is_stopped(self) -> bool:
        """Whether the machine is shut down and the lease still costs money."""
        return self.state in STOPPED_STATES

    @property
    def is_kept_free(self) -> bool:
        """Whether the machine is shut down and still rented, and costs nothing as long as that lasts."""
        price = self.offer.stopped_price
        return self.state is LeaseState.STOPPED and price is not None and price.is_known and not price.value

    @property
    def state_title(self) -> str:
        """The state in the user's language."""
        return _("stopped, costs nothing") if self.is_kept_free else self.state.title

    @property
    def current_price(self) -> UnitPrice:
        """What the lease costs in its present state, as long as it is not over."""
        stopped = self.offer.stopped_price
        return stopped if self.is_stopped and stopped is not None else self.offer.tariff.price
