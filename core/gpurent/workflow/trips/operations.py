"""What the CLI can do, each as one call. Everything that costs money is a journaled trip."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from datetime import timedelta

from attrs import evolve

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Unknown
from gpurent.domain.order import Order, OrderKind
from gpurent.domain.receipt import Receipt
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, LeaseError, Spent, UsageError
from gpurent.infra.sqlite.journal import TripRow
from gpurent.locale import _
from gpurent.roles.lease import SupportsRenewal, SupportsRestart
from gpurent.workflow.connection.machine_commands import Hands
from gpurent.workflow.payments import budgets as budget
from gpurent.workflow.payments.quotes import quote, term_of
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.steps.check_funds import Funding, look_up_funds, needed
from gpurent.workflow.steps.launch import Launched
from gpurent.workflow.steps.monitor import Ended
from gpurent.workflow.steps.provision import provision
from gpurent.workflow.steps.release import idle_spans, receipt_of, release_lease
from gpurent.workflow.steps.select_offer import listing
from gpurent.workflow.timing.timer_policy import Timers
from gpurent.workflow.trips.accounts import Teller
from gpurent.workflow.trips.execute import TripEnd, execute_trip, lease_of
from gpurent.workflow.trips.select_provider import choose

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


class Service(Hands, Teller):
    """Bound to one `Desk`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    # looking

    async def leases(self, *, over: bool = False) -> list[Lease]:
        """Ours as their shops say now, oldest first; those that are not over, unless ``over``."""
        kept = await asyncio.gather(*(self._fresh(lease) for lease in self.desk.leases(over=over)))
        return [lease for lease in kept if over or not lease.over]

    async def _fresh(self, lease: Lease) -> Lease:
        # Kept files may have gone since; every other end is final.
        if lease.over and lease.state is not LeaseState.KEPT:
            return lease
        try:
            return await self.desk.look(lease.id)
        except GpurentError as error:
            return evolve(lease, note=error.message)

    async def lease(self, given: str) -> Lease:
        return await self._fresh(self.desk.lease(given))

    def trips(self) -> Sequence[TripRow]:
        return self.desk.journal.trips()

    def trip(self, given: str) -> TripRow:
        """The trip with this id or its only match; empty: the only one under way."""
        rows = self.trips()
        found = [row for row in rows if row.id == given] or [
            row
            for row in rows
            if (row.id.endswith(given) if given else not row.outcome and row.kind != "guard")
        ]
        if len(found) != 1:
            many = ", ".join(row.id for row in found) or _("none")
            raise UsageError(_("which trip? ({many})").format(many=many), hint=_("See: gpurent trips"))
        return found[0]

    # trips

    def _new(self, kind: str, want: TripSpec, lease: str = "") -> TripContext:
        day = self.desk.clock.now().strftime("%m%d")
        trip = f"t{day}-{''.join(secrets.choice(_LETTERS) for _i in range(5))}"
        self.desk.journal.begin_trip(trip, kind, want, lease)
        return TripContext(self.desk, trip)

    async def run(self, want: TripSpec, *, detach: bool = False) -> TripEnd:
        """A whole trip."""
        return await self._walk(self._new("run", want), want, detach)

    async def rent(self, want: TripSpec) -> Lease:
        """Only a machine: the lease stays until it is released."""
        want = evolve(want, only_rent=True, command=())
        end = await self._walk(self._new("rent", want), want, detach=False)
        return self.desk.lease(end.lease)

    async def _walk(self, trail: TripContext, want: TripSpec, detach: bool) -> TripEnd:
        with self.desk.hold(trail.trip):
            try:
                want = await choose(trail, want)
                end = await execute_trip(trail, want, detach=detach)
            except GpurentError as error:
                if self.desk.journal.lease(lease_of(trail.trip, want)) is None and not error.retryable:
                    self.desk.journal.end_trip(trail.trip, f"failed: {error.code}")
                raise
            if not end.under_way:
                self.desk.journal.end_trip(trail.trip, "done")
            return end

    async def resume(self, given: str = "", *, detach: bool = False) -> TripEnd:
        """Walk again: what was done is recalled, what was not is done."""
        row = self.trip(given)
        if row.outcome:
            raise UsageError(_("{trip} has ended: {outcome}").format(trip=row.id, outcome=row.outcome))
        if row.kind == "guard":
            raise UsageError(_("{trip} is the guard's").format(trip=row.id), hint="gpurent watch --once")
        trail = TripContext(self.desk, row.id)
        if row.kind in ("run", "rent"):
            return await self._walk(trail, row.want, detach)
        with self.desk.hold(row.id):
            return await self._single(trail, row)

    async def _single(self, trail: TripContext, row: TripRow) -> TripEnd:
        receipt = None
        if row.kind == "release":
            receipt = await self._release(trail, row.lease)
        else:
            order = self.desk.journal.recall(row.id, "order", Order)
            if order is None:
                self.desk.journal.end_trip(row.id, "failed: nothing ordered")
                raise UsageError(_("{trip} ordered nothing; start it again").format(trip=row.id))
            await self._carry_out(trail, row.lease, order)
        self.desk.journal.end_trip(row.id, "done")
        return TripEnd(trip=row.id, lease=row.lease, receipt=receipt)

    async def _order(self, kind: str, lease: Lease, want: TripSpec, order: Order) -> Lease:
        trail = self._new(kind, want, lease.id)
        order = evolve(order, key=f"{trail.trip}-{kind}")
        with self.desk.hold(trail.trip):

            async def same() -> Order:
                return order

            await trail.once("order", Order, same, quiet=True)
            try:
                await self._carry_out(trail, lease.id, order)
            except GpurentError as error:
                if not error.retryable:
                    self.desk.journal.end_trip(trail.trip, f"failed: {error.code}")
                raise
            self.desk.journal.end_trip(trail.trip, "done")
        return self.desk.lease(lease.id)

    async def _carry_out(self, trail: TripContext, lease_id: str, order: Order) -> None:
        price = await trail.once("quote", Funding, lambda: self._price(trail, order), quiet=True)
        await provision(trail, "leg0", order, lease_id, price.ceiling, price.deposit, price.rate)

    async def _price(self, trail: TripContext, order: Order) -> Funding:
        expected = await quote(self.desk, order.offer, order.term, order.gpus, order.disk)
        provider = order.offer.provider
        await budget.check(self.desk, provider, needed(expected), trip=trail.trip)
        return await look_up_funds(self.desk, TripSpec(provider=provider), expected)

    async def renew(self, given: str, term: timedelta) -> Lease:
        """More time on a prepaid lease."""
        lease = await self.lease(given)
        shop = self.desk.shop_of(lease)
        if not isinstance(shop, SupportsRenewal):
            raise UsageError(
                _("{provider} has no renewal: it runs while its balance lasts").format(
                    provider=lease.provider
                ),
                hint=_("Top up instead: gpurent topup {provider} AMOUNT").format(provider=lease.provider),
            )
        self._must_run(lease)
        order = shop.extension(lease, term, "")
        renewed = await self._order("renew", lease, TripSpec(provider=lease.provider), order)
        await Timers(self.desk).renewed(lease, renewed)
        return renewed

    async def upgrade(self, given: str, want: TripSpec) -> Lease:
        """From the staged machine to the wanted one."""
        lease = await self.lease(given)
        self._must_run(lease)
        found = await listing(
            self.desk, lease.provider, evolve(want.wish, key=want.wish.key or lease.offer.key)
        )
        if isinstance(found, Unknown) or not found.items:
            reason = found.reason if isinstance(found, Unknown) else _("no such GPU is free on this machine")
            raise LeaseError(reason, hint=_("Your staged machine goes on."), burning=(lease.id,))
        offer = found.items[0]
        order = Order(
            key="", kind=OrderKind.SWITCH, offer=offer, term=term_of(offer, want), gpus=want.wish.gpus,
            disk=want.disk, image=want.image, password_ref=lease.password_ref,
        )  # fmt: skip
        return await self._order("upgrade", lease, want, order)

    async def restart(self, given: str) -> Lease:
        """A machine that was shut, with its kept files; a new lease."""
        lease = await self.lease(given)
        shop = self.desk.shop_of(lease)
        if not isinstance(shop, SupportsRestart) or lease.state is not LeaseState.KEPT:
            raise UsageError(_("{lease} cannot be started again").format(lease=lease.id))
        trail = self._new("restart", TripSpec(provider=lease.provider))
        new_id = lease_of(trail.trip, TripSpec(provider=lease.provider))
        order = evolve(shop.restart(lease, f"{trail.trip}-restart"), password_ref=f"password-{trail.trip}")
        self.desk.journal.set_trip_lease(trail.trip, new_id)
        with self.desk.hold(trail.trip):

            async def same() -> Order:
                return order

            await trail.once("order", Order, same, quiet=True)
            await self._carry_out(trail, new_id, order)
            self.desk.journal.end_trip(trail.trip, "done")
        return self.desk.lease(new_id)

    def _must_run(self, lease: Lease) -> None:
        if lease.state is not LeaseState.READY:
            raise LeaseError(
                _("{lease} is not running ({state})").format(lease=lease.id, state=lease.state.value),
                spent=Spent.NO,
            )

    async def release(self, given: str) -> Receipt:
        """Give back now; ends the trips that used it."""
        lease = self.desk.lease(given)
        trail = self._new("release", TripSpec(provider=lease.provider), lease.id)
        with self.desk.hold(trail.trip):
            receipt = await self._release(trail, lease.id)
        for row in self.trips():
            if row.lease == lease.id and not row.outcome:
                self.desk.journal.end_trip(row.id, "done" if row.id == trail.trip else "released")
        return receipt

    async def _release(self, trail: TripContext, lease_id: str) -> Receipt:
        lease = await release_lease(trail, lease_id)
        return await receipt_of(self.desk, lease, self.idle_of(lease_id))

    def idle_of(self, lease_id: str) -> tuple[tuple[str, timedelta], ...]:
        """Paid but idle, from the journal of the trip that ran a job on the lease."""
        journal = self.desk.journal
        releases = [row for row in self.trips() if row.lease == lease_id]
        for row in releases:
            for step in journal.steps(row.id):
                if step.name.endswith(".launch") and step.done_at:
                    leg = step.name.partition(".")[0]
                    launched = journal.recall(row.id, step.name, Launched)
                    ended = journal.recall(row.id, f"{leg}.monitor", Ended)
                    return idle_spans(
                        TripContext(self.desk, row.id),
                        launched.at if launched else None,
                        ended.at if ended else None,
                    )
        return ()

    async def receipt(self, given: str) -> Receipt:
        """By the books as they stand now."""
        lease = await self.lease(given)
        return await receipt_of(self.desk, lease, self.idle_of(lease.id), patience=timedelta())
