"""A lease and the states of its life cycle."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from types import MappingProxyType

from attrs import evolve, field, frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.machine_facts import MachineFacts
from gpurent.domain.offer import Bill, DeclaredTerms, Offer, OrderKind
from gpurent.errors import LeaseError
from gpurent.locale import N_, _


class LeaseState(Enum):
    """The state of a lease. KEPT: shut down, with its files kept. GONE: the provider no longer knows the lease."""

    REQUESTED = "requested"
    PAYABLE = "payable"
    PROVISIONING = "provisioning"
    READY = "ready"
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
    _S.RELEASING: N_("releasing"),
    _S.RELEASED: N_("released"),
    _S.EXPIRED: N_("expired"),
    _S.FAILED: N_("failed"),
    _S.CANCELLED: N_("cancelled"),
    _S.KEPT: N_("shut down, files kept"),
    _S.GONE: N_("gone"),
}
_END_STATES = frozenset({_S.RELEASED, _S.EXPIRED, _S.KEPT, _S.GONE, _S.FAILED})
_TRANSITIONS = {
    _S.REQUESTED: frozenset({_S.PAYABLE, _S.PROVISIONING, _S.READY, _S.CANCELLED, _S.FAILED, _S.GONE}),
    _S.PAYABLE: frozenset({_S.PROVISIONING, _S.READY, _S.CANCELLED, _S.FAILED, _S.EXPIRED, _S.GONE}),
    _S.PROVISIONING: frozenset({_S.READY, _S.RELEASING, *_END_STATES}),
    _S.READY: frozenset({_S.PROVISIONING, _S.RELEASING, *_END_STATES}),
    _S.RELEASING: frozenset({_S.READY, *_END_STATES}),
    _S.RELEASED: frozenset({_S.KEPT, _S.GONE}),
    _S.EXPIRED: frozenset({_S.KEPT, _S.GONE, _S.RELEASED}),
    _S.KEPT: frozenset({_S.GONE, _S.RELEASED}),
    _S.FAILED: frozenset({_S.GONE, _S.RELEASED}),
    _S.CANCELLED: frozenset({_S.GONE}),
    _S.GONE: frozenset[LeaseState](),
}
TRANSITIONS: Mapping[LeaseState, frozenset[LeaseState]] = MappingProxyType(_TRANSITIONS)
OVER_STATES = frozenset({_S.RELEASED, _S.EXPIRED, _S.FAILED, _S.CANCELLED, _S.KEPT, _S.GONE})


@frozen(kw_only=True)
class PendingOrder:
    """An order in progress for a lease. ``ref`` is the provider's order ID; ``bill`` is set once the order can be paid.

    ``paid`` true: paid and reported to the provider, which has not confirmed the payment yet.
    """

    key: str
    kind: OrderKind
    ref: str = ""
    bill: Bill | None = None
    paid: bool = False


@frozen(kw_only=True)
class Lease:
    """One rented machine as the provider last described it.

    ``id`` is our own and never changes; ``ref`` is the provider's and may change on a SWITCH. ``label`` is journaled
    before the order. ``provider_data`` holds the plugin's own data as text. ``bills`` are all bills ever paid for this
    lease. All times are provider time. ``expires_at`` is None for a metered lease. ``note`` explains the current state.
    ``declared`` is set for an adopted lease, whose terms were given by the user. ``machine_facts`` is what was found on
    the machine.
    """

    id: str
    provider: str
    offer: Offer
    state: LeaseState = LeaseState.REQUESTED
    ref: str = ""
    label: str = ""
    pending: PendingOrder | None = None
    endpoint: Endpoint | None = None
    password_ref: str = ""
    started_at: datetime | None = None
    expires_at: datetime | None = None
    ended_at: datetime | None = None
    kept_until: datetime | None = None
    bills: tuple[Bill, ...] = ()
    provider_data: Mapping[str, str] = field(factory=dict)
    note: str = ""
    declared: DeclaredTerms | None = None
    machine_facts: MachineFacts | None = None

    def with_state(self, state: LeaseState, note: str = "") -> Lease:
        """Return this lease in another state; raises `LeaseError` for a transition that is not in `TRANSITIONS`."""
        if state is not self.state and state not in TRANSITIONS[self.state]:
            raise LeaseError(
                _("lease {id} cannot change from {before} to {after}").format(
                    id=self.id, before=self.state.title, after=state.title
                )
            )
        return evolve(self, state=state, note=note or self.note)

    @property
    def is_over(self) -> bool:
        """Whether the lease has ended and no longer costs money."""
        return self.state in OVER_STATES
