"""A rented machine through its life."""

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
from gpurent.locale import _


class LeaseState(Enum):
    """Where a lease stands. KEPT: shut, files still there. GONE: the provider no longer knows it."""

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


_S = LeaseState
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
    """An order that runs on a lease. ``ref`` is the shop's order; ``bill`` is there once it can be paid.

    ``paid`` true: paid and shown to the shop, which has not yet said that it saw the payment.
    """

    key: str
    kind: OrderKind
    ref: str = ""
    bill: Bill | None = None
    paid: bool = False


@frozen(kw_only=True)
class Lease:
    """One rented machine as the provider last described it.

    ``id`` is ours and never changes; ``ref`` is the shop's and may change on a switch. ``label`` was journaled
    before the order. ``shop`` holds the plugin's own facts as text. ``bills`` are all bills ever paid for it.
    Times are the provider's. ``expires_at`` None on a metered shop. ``note`` says why it is in its state.
    ``declared``: taken over by hand, so these terms are the user's word. ``found``: what is on the machine.
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
    shop: Mapping[str, str] = field(factory=dict)
    note: str = ""
    declared: DeclaredTerms | None = None
    found: MachineFacts | None = None

    def with_state(self, state: LeaseState, note: str = "") -> Lease:
        """This lease in another state; a move that is not in `MOVES` is a `LeaseError`."""
        if state is not self.state and state not in TRANSITIONS[self.state]:
            raise LeaseError(
                _("lease {id} cannot go from {before} to {after}").format(
                    id=self.id, before=self.state.value, after=state.value
                )
            )
        return evolve(self, state=state, note=note or self.note)

    @property
    def is_over(self) -> bool:
        """Whether it costs nothing any more."""
        return self.state in OVER_STATES
