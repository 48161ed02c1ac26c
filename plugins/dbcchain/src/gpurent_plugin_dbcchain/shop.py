"""Machines of both registries. Everything up to the bill is free; the wallet orders, the client node starts."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from gpurent.api import (
    Bill,
    Known,
    Lease,
    LeaseError,
    LeaseProvider,
    LeaseState,
    Offer,
    Order,
    OrderKind,
    Payment,
    Pending,
    PluginContext,
    Prepaid,
    Purpose,
    Requirements,
    SupportsRenewal,
    Unknown,
)
from gpurent_plugin_dbcchain import wire
from gpurent_plugin_dbcchain.chain import NAME, offer_of
from gpurent_plugin_dbcchain.deals import Deal, parse_ref, ref_of
from gpurent_plugin_dbcchain.extrinsic import PALLETS, Pallet
from gpurent_plugin_dbcchain.node import ClientNode, Task
from gpurent_plugin_dbcchain.price import HALF_HOUR, LONGEST, SHORTEST_RELET, blocks_of
from gpurent_plugin_dbcchain.trade import Cost, Trade

KEPT = timedelta(days=10)
DISK = 100


class Shop(LeaseProvider, SupportsRenewal):
    """``Lease.ref`` is the registry and the order's number: ``rentMachine:12``."""

    def __init__(self, host: PluginContext) -> None:
        self._host = host
        self._trade = Trade(host)
        self._node = ClientNode(host)

    # offers

    async def offers(self, wish: Requirements) -> Known[Offer] | Unknown:
        if wish.cpu_only:
            return Known(())
        chain = self._trade.chain
        prices = await chain.prices()
        found: dict[str, Offer] = {}
        for pallet in PALLETS.values():
            for stock in await chain.machines(pallet, wish.machine):
                found.setdefault(stock.machine.id, offer_of(pallet, stock, prices.fee))
        return Known(tuple(found.values()))

    # ordering

    async def reserve(self, order: Order) -> Lease:
        """A bill; the chain knows nothing of it until it is paid."""
        if order.kind is OrderKind.SWITCH:
            raise LeaseError("machines are not switched here", hint="Nothing was spent.")
        deal = self._trade.deals.deal(order.key) or await self._deal(order)
        bill = _bill(order, deal, await self._trade.cost(deal))
        self._trade.deals.note(order.key, deal)
        pending = Pending(key=order.key, kind=order.kind, ref=order.key, bill=bill)
        return Lease(
            id="",
            provider=NAME,
            offer=order.offer,
            state=LeaseState.PAYABLE,
            pending=pending,
            password_ref=order.password_ref,
        )

    async def _deal(self, order: Order) -> Deal:
        term = order.term or timedelta(days=1)
        if order.kind is OrderKind.EXTEND:
            return await self._more(order.onto, term)
        self._node.must_be_set()
        registry = order.offer.shop["registry"]
        machine = await self._trade.chain.machine(PALLETS[registry], order.offer.key)
        if machine is None or not machine.gpus:
            raise LeaseError("the chain does not know this machine any more", hint="Nothing was spent.")
        gpus, blocks = max(order.gpus, 1), blocks_of(term, HALF_HOUR)
        if blocks > LONGEST:
            raise LeaseError("the chain rents for at most 60 days", hint="Nothing was spent. Ask for less.")
        return Deal(
            registry=registry,
            verb="rent",
            machine=machine.id,
            blocks=blocks,
            gpus=gpus,
            cpus=max(1, machine.cpus * gpus // machine.gpus),
            memory=max(1, machine.memory * gpus // machine.gpus),
            disk=order.disk or DISK,
            image=order.image or self._host.settings.get("image", ""),
        )

    async def _more(self, ref: str, term: timedelta) -> Deal:
        pallet, number = parse_ref(ref)
        order = await self._trade.chain.order(pallet, number)
        if order is None or not order.running:
            raise LeaseError("the chain has no such running order", hint="Nothing was spent.")
        blocks = max(blocks_of(term), SHORTEST_RELET)
        if order.end + blocks > await self._trade.chain.height() + LONGEST:
            # The chain would silently sell less, or in one registry more.
            raise LeaseError(
                "an order may end at most 60 days from now", hint="Nothing was spent. Ask for less."
            )
        return Deal(
            registry=pallet.rpc,
            verb="relet",
            machine=order.machine,
            blocks=blocks,
            order=number,
            gpus=order.gpus,
        )

    def extension(self, lease: Lease, term: timedelta, key: str) -> Order:
        """The fee of a new order is not asked for again."""
        tariff = lease.offer.tariff
        offer = (
            evolve(lease.offer, tariff=evolve(tariff, fee=None))
            if isinstance(tariff, Prepaid)
            else lease.offer
        )
        gpus = int(lease.shop.get("gpus", "1"))
        return Order(key=key, kind=OrderKind.EXTEND, offer=offer, term=term, onto=lease.ref, gpus=gpus)

    async def confirm(self, lease: Lease, payment: Payment) -> Lease:
        pending = lease.pending
        if pending is None:
            return lease
        if pending.kind is OrderKind.EXTEND:
            pallet, number = parse_ref(lease.ref)
        else:
            deal, placed = self._trade.deals.deal(pending.key), self._trade.deals.placed(pending.key)
            if deal is None or placed is None:
                raise LeaseError("no order was made for this payment", retryable=True)
            pallet, number = deal.pallet, placed.order
        order = await self._trade.chain.order(pallet, number)
        if order is None or not order.running:
            return evolve(lease, pending=evolve(pending, paid=True))
        if pending.kind is OrderKind.NEW:
            lease = await self._taken_up(lease, pallet, order)
        ends = await self._trade.chain.when(order.end)
        return evolve(lease, pending=None, expires_at=ends)

    async def _taken_up(self, lease: Lease, pallet: Pallet, order: wire.Rented) -> Lease:
        return evolve(
            lease.to(LeaseState.PROVISIONING, "the machine is starting"),
            ref=ref_of(pallet, order.id),
            started_at=await self._trade.chain.when(order.start),
            shop={**lease.shop, "gpus": str(order.gpus), "machine": order.machine},
        )

    # following

    async def refresh(self, lease: Lease) -> Lease:
        if not lease.ref or (lease.over and lease.state is not LeaseState.KEPT):
            return lease
        if lease.state is LeaseState.RELEASING:
            # Gone in the newest block is not gone for good; `release` waits for that and enters the refund.
            return lease
        now = self._host.clock.now()
        if lease.state is LeaseState.KEPT:
            gone = lease.kept_until is not None and lease.kept_until <= now
            return lease.to(LeaseState.GONE, "the host keeps the files for ten days") if gone else lease
        pallet, number = parse_ref(lease.ref)
        order = await self._trade.chain.order(pallet, number)
        if order is None:
            return await self._ended(lease, pallet, number)
        lease = evolve(lease, expires_at=await self._trade.chain.when(order.end))
        return await self._opened(lease, order) if lease.state is LeaseState.PROVISIONING else lease

    async def _ended(self, lease: Lease, pallet: Pallet, number: int) -> Lease:
        """The chain drops orders at their end; one that is missing from both its lists has ended."""
        if number in await self._trade.chain.order_ids(pallet, await self._trade.me()):
            return evolve(lease, note="the chain does not show the order now")
        now = self._host.clock.now()
        over = evolve(lease, endpoint=None, ended_at=now)
        if lease.expires_at is not None and lease.expires_at <= now + timedelta(minutes=1):
            kept = over.to(LeaseState.KEPT, "the rented time ran out; the host keeps the files for ten days")
            return evolve(kept, ended_at=lease.expires_at, kept_until=lease.expires_at + KEPT)
        return over.to(LeaseState.GONE, "the chain ended the order before its time")

    async def _opened(self, lease: Lease, order: wire.Rented) -> Lease:
        task = await self._task(lease, order)
        if task is None or not task.running or task.password is None:
            return evolve(lease, note=f"the machine is {task.status}" if task else "the machine is not there")
        lease = evolve(lease, password_ref=lease.password_ref or f"password-{order.id}")
        self._host.vault.put(lease.password_ref, task.password)
        return evolve(lease.to(LeaseState.READY), endpoint=task.endpoint, note="")

    async def _task(self, lease: Lease, order: wire.Rented) -> Task | None:
        """The machine of this order; its label is the key that the order was paid under."""
        label = self._label(lease)
        for task in await self._node.tasks(order.machine, order.id):
            if task.label == label:
                return await self._node.task(order.machine, order.id, task.id)
        return None

    def _label(self, lease: Lease) -> str:
        pallet, number = parse_ref(lease.ref)
        return self._trade.deals.whose(pallet.rpc, number)

    # leaving

    async def release(self, lease: Lease) -> Lease:
        if lease.over and lease.pending is None:
            return lease
        if lease.pending is not None and lease.pending.kind is OrderKind.NEW:
            lease = await self._undone(lease, lease.pending)
            if lease.over:
                return lease
        if lease.pending is not None:
            await self._settle(lease.pending)
        lease = evolve(lease, pending=None)
        pallet, number = parse_ref(lease.ref)
        order = await self._trade.chain.order(pallet, number)
        if order is None and not self._trade.sender.begun(f"{lease.ref}/terminate"):
            return await self._ended(lease, pallet, number)
        if order is not None:
            await self._node.drop(order.machine, number, self._label(lease))
        if pallet.refunds and not await self._trade.terminate(pallet, number):
            return evolve(lease.to(LeaseState.RELEASING, "the chain is told"), endpoint=None)
        note = "given back; what was not used came back" if pallet.refunds else "given back; no refund here"
        return evolve(lease.to(LeaseState.RELEASED, note), endpoint=None, ended_at=self._host.clock.now())

    async def _undone(self, lease: Lease, pending: Pending) -> Lease:
        """An order that was not taken up: from now on nobody goes on with it. Already confirmed: it is the lease."""
        trade, deal = self._trade, self._trade.deals.deal(pending.key)
        if deal is None:
            return evolve(lease.to(LeaseState.CANCELLED), pending=None)
        why = trade.deals.left(pending.key)
        if not why:
            why = "given back before it was confirmed; what the chain set aside comes back within 15 minutes"
            trade.deals.leave(pending.key, why)
        placed = await trade.settled(pending.key, deal)
        if placed is not None:
            if await trade.confirmed(pending.key, deal, placed) is not None:
                order = await trade.chain.order(deal.pallet, placed.order)
                if order is not None:
                    return evolve(await self._taken_up(lease, deal.pallet, order), pending=None)
            await self._node.drop(deal.machine, placed.order, pending.key)
        return evolve(lease.to(LeaseState.CANCELLED, why), pending=None)

    async def _settle(self, pending: Pending) -> None:
        """Wait until nothing is under way for more time any longer; what was paid is in the books then."""
        deal = self._trade.deals.deal(pending.key)
        if deal is None or await self._trade.sender.settled(f"{pending.key}/relet") is None:
            return
        try:
            await self._trade.relet(pending.key, deal)
        except LeaseError as error:
            self._host.log.warning("%s", error.message)

    async def leases(self) -> Known[Lease] | Unknown:
        chain, me, found = self._trade.chain, await self._trade.me(), []
        prices = await chain.prices()
        for pallet in PALLETS.values():
            for number in await chain.order_ids(pallet, me):
                order = await chain.order(pallet, number)
                stock = await chain.stock(pallet, order.machine) if order is not None else None
                if order is None or stock is None or not order.running:
                    continue
                found.append(
                    Lease(
                        id="",
                        provider=NAME,
                        offer=offer_of(pallet, stock, prices.fee),
                        state=LeaseState.READY,
                        ref=ref_of(pallet, number),
                        started_at=await chain.when(order.start),
                        expires_at=await chain.when(order.end),
                        shop={"gpus": str(order.gpus), "machine": order.machine},
                    )
                )
        return Known(tuple(found))


def _bill(order: Order, deal: Deal, cost: Cost) -> Bill:
    parts = [f"rent {wire.money(cost.rent)} for {deal.blocks} blocks"]
    if cost.fee:
        parts.append(f"fee {wire.money(cost.fee)}")
    parts.append(f"the network's own {wire.money(3 * cost.network)}")
    parts.append("1 % of the rent for a moving price")
    refund = "unused rent comes back" if deal.pallet.refunds else "no refund once confirmed"
    return Bill(
        key=order.key,
        payee=f"{deal.pallet.name} {deal.machine}",
        amount=wire.money(cost.most),
        purpose=Purpose.RENEWAL if deal.verb == "relet" else Purpose.RENT,
        memo=f"at most: {', '.join(parts)}; {refund}",
    )
