"""The shop of a lease that was taken over by hand: looks at the machine itself, and ends it by what there is."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import evolve

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Known, Offer, Requirements, Unknown
from gpurent.domain.order import Order, Payment
from gpurent.errors import LeaseError
from gpurent.infra.ssh.client import Reachability
from gpurent.locale import _
from gpurent.roles.lease import LeaseProvider
from gpurent.workflow.manual.billing import STOPPED, stopped_at
from gpurent.workflow.manual.ending import ask_person, run_stop
from gpurent.workflow.runtime.desk import Desk

HOW, MISSED, CONFIRMED = "stop", "missed", "confirmed-at"
# A refused knock is the host's own word that nothing listens; silence may be a bad line.
_WEIGHT = {Reachability.REFUSED: 3, Reachability.SILENT: 1, Reachability.OTHER: 6, Reachability.UNKNOWN: 0}
GONE = 6
LINGER = timedelta(minutes=5)


class HandShop(LeaseProvider):
    """``Lease.shop`` holds how it is being ended: by its ``script``, ``ran``, by the user's hand on the ``page``."""

    def __init__(self, desk: Desk, provider: str) -> None:
        self._desk, self._provider = desk, provider

    def _no(self) -> LeaseError:
        return LeaseError(
            _("a machine that was taken over by hand is not ordered here"),
            hint=_("Rent where you usually do, then: gpurent adopt"),
        )

    async def offers(self, wish: Requirements) -> Known[Offer] | Unknown:
        return Unknown(self._no().message)

    async def reserve(self, order: Order) -> Lease:
        raise self._no()

    async def confirm(self, lease: Lease, payment: Payment) -> Lease:
        raise self._no()

    async def leases(self) -> Known[Lease] | Unknown:
        return Unknown(_("there is no list of machines that are rented by hand"))

    async def refresh(self, lease: Lease) -> Lease:
        """Knocks only where its terms say that it should be over: a machine that is silent is not thereby gone."""
        now = self._desk.clock.now()
        if lease.state is LeaseState.KEPT and lease.kept_until is not None and lease.kept_until <= now:
            return evolve(lease.to(LeaseState.GONE, _("its files were kept until now")), kept_until=None)
        if lease.state is not LeaseState.READY or lease.expires_at is None or now < lease.expires_at:
            return lease
        reach = await self._knock(lease)
        if reach in (Reachability.REFUSED, Reachability.OTHER):
            return self._ended(lease, lease.expires_at, _("its declared end has come"), LeaseState.EXPIRED)
        if reach is Reachability.ANSWERS:
            text = _("its declared end is over, and it still answers: it may cost money; gpurent declare")
            return evolve(lease, note=text)
        return evolve(lease, note=_("its declared end is over; whether it is shut is not known"))

    async def release(self, lease: Lease) -> Lease:
        """One move at a time; each is written down before the next."""
        if lease.over:
            return lease
        confirmed = lease.shop.get(CONFIRMED, "")
        if confirmed:
            return self._ended(lease, datetime.fromisoformat(confirmed), _("ended by your word"))
        how = lease.shop.get(HOW, "")
        if not how:
            return self._begin(lease)
        if how == "script":
            return await self._stop(lease)
        if how == "ran":
            return await self._watch(lease)
        await ask_person(self._desk, lease, self._knock)
        return self._ended(lease, self._desk.clock.now(), _("ended by your word"))

    def _begin(self, lease: Lease) -> Lease:
        if self._desk.profile_of(lease).stop_script:
            return self._on(lease, _("being stopped from within"), {HOW: "script"})
        if lease.declared is not None and not lease.declared.price.value:
            return self._ended(lease, self._desk.clock.now(), _("left as it is: it costs nothing"))
        return self._on(lease, _("to be ended by you"), {HOW: "page"})

    def _on(self, lease: Lease, note: str, facts: dict[str, str]) -> Lease:
        return evolve(lease.to(LeaseState.RELEASING, note), shop={**lease.shop, **facts})

    def _to_page(self, lease: Lease, why: str) -> Lease:
        facts = {name: value for name, value in lease.shop.items() if name not in (STOPPED, MISSED)}
        return evolve(lease, note=why, shop={**facts, HOW: "page"})

    async def _stop(self, lease: Lease) -> Lease:
        why = await run_stop(self._desk, lease, self._desk.profile_of(lease).stop_script)
        if why:
            return self._to_page(lease, why)
        now = self._desk.clock.now()
        return self._on(lease, _("stopped; waiting for its end"), {HOW: "ran", STOPPED: now.isoformat()})

    async def _watch(self, lease: Lease) -> Lease:
        now = self._desk.clock.now()
        stopped = stopped_at(lease) or now
        reach = await self._knock(lease)
        if reach is Reachability.ANSWERS:
            if now - stopped >= LINGER:
                return self._to_page(lease, _("its stop script ran, but it still answers"))
            return evolve(lease, shop={**lease.shop, MISSED: "0"})
        missed = int(lease.shop.get(MISSED, "0")) + _WEIGHT[reach]
        if missed >= GONE:
            return self._ended(lease, stopped, _("stopped from within; it does not answer any more"))
        return evolve(lease, shop={**lease.shop, MISSED: str(missed)})

    async def _knock(self, lease: Lease) -> Reachability:
        if lease.endpoint is None:
            return Reachability.UNKNOWN
        found: Reachability = await self._desk.ssh.reach(lease.id, lease.endpoint)
        return found

    def _ended(self, lease: Lease, at: datetime, note: str, state: LeaseState = LeaseState.RELEASED) -> Lease:
        kept = self._desk.provider(self._provider).profile.kept
        moved = lease.to(LeaseState.KEPT if kept else state, note)
        return evolve(moved, endpoint=None, ended_at=at, kept_until=at + kept if kept else None)
