"""Machines of both registries.

Nothing costs money until the bill is paid; the wallet orders, the client node starts.
"""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from gpurent.api import (
    Absent,
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
    PaymentPurpose,
    PendingOrder,
    PluginContext,
    Prepaid,
    Requirements,
    SupportsRenewal,
    Unknown,
    add_access_source,
)
from gpurent_plugin_dbcchain import _, wire
from gpurent_plugin_dbcchain.chain_client import NAME, make_offer
from gpurent_plugin_dbcchain.client_node import ClientNode, NodeTask
from gpurent_plugin_dbcchain.extrinsic import PALLETS, Pallet
from gpurent_plugin_dbcchain.orders import ChainOrders, OrderCost
from gpurent_plugin_dbcchain.price import HALF_HOUR_BLOCKS, MAX_BLOCKS, MIN_RELET_BLOCKS, to_blocks
from gpurent_plugin_dbcchain.purchases import Purchase, make_ref, parse_ref

FILE_RETENTION = timedelta(days=10)
DEFAULT_DISK = 100


class ChainProvider(LeaseProvider, SupportsRenewal):
    """The chain as a provider; ``Lease.ref`` is the registry and the order number: ``rentMachine:12``."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._orders = ChainOrders(context)
        self._node = ClientNode(context)

    # offers

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        if requirements.cpu_only:
            return Known(())
        chain = self._orders.chain
        prices = await chain.get_prices()
        found: dict[str, Offer] = {}
        for pallet in PALLETS.values():
            for stock in await chain.list_stock(pallet, requirements.machine):
                found.setdefault(stock.machine.id, make_offer(pallet, stock, prices.fee))
        return Known(tuple(found.values()))

    # orders

    async def reserve_lease(self, order: Order) -> Lease:
        """Return a lease with a bill; the chain knows nothing of it until it is paid."""
        if order.kind is OrderKind.SWITCH:
            raise LeaseError(_("the chain cannot switch machines"))
        deal = await self._orders.deals.find_deal(order.key) or await self._make_deal(order)
        bill = _make_bill(order, deal, await self._orders.estimate_cost(deal))
        await self._orders.deals.save_deal(order.key, deal)
        pending = PendingOrder(key=order.key, kind=order.kind, ref=order.key, bill=bill)
        return Lease(
            id="",
            provider=NAME,
            offer=order.offer,
            state=LeaseState.PAYABLE,
            pending=pending,
            password_ref=order.password_ref,
        )

    async def _make_deal(self, order: Order) -> Purchase:
        term = order.term or timedelta(days=1)
        if order.kind is OrderKind.RENEW:
            return await self._make_relet_deal(order.onto, term)
        self._node.check_configured()
        registry = order.offer.provider_data["registry"]
        machine = await self._orders.chain.find_machine(PALLETS[registry], order.offer.key)
        if machine is None or not machine.gpus:
            raise LeaseError(_("the chain no longer lists this machine"))
        gpus, blocks = max(order.gpus, 1), to_blocks(term, HALF_HOUR_BLOCKS)
        if blocks > MAX_BLOCKS:
            raise LeaseError(_("the chain rents for at most 60 days"), hint=_("Choose a shorter time."))
        return Purchase(
            registry=registry,
            verb="rent",
            machine=machine.id,
            blocks=blocks,
            gpus=gpus,
            cpus=max(1, machine.cpus * gpus // machine.gpus),
            memory=max(1, machine.memory * gpus // machine.gpus),
            disk=order.disk or DEFAULT_DISK,
            image=order.image or self._context.settings.get("image", ""),
        )

    async def _make_relet_deal(self, ref: str, term: timedelta) -> Purchase:
        pallet, number = parse_ref(ref)
        order = await self._orders.chain.find_order(pallet, number)
        if order is None or not order.running:
            raise LeaseError(_("the chain has no such running order"))
        blocks = max(to_blocks(term), MIN_RELET_BLOCKS)
        if order.end + blocks > await self._orders.chain.get_block_number() + MAX_BLOCKS:
            # The chain would silently sell less, or in one registry more.
            raise LeaseError(
                _("an order can end at most 60 days from now"),
                hint=_("Choose a shorter time."),
            )
        return Purchase(
            registry=pallet.rpc_prefix,
            verb="relet",
            machine=order.machine,
            blocks=blocks,
            order=number,
            gpus=order.gpus,
        )

    def make_renewal_order(self, lease: Lease, term: timedelta, key: str) -> Order:
        """Return the renewal order; the fee of a new order is not charged again."""
        tariff = lease.offer.tariff
        offer = (
            evolve(lease.offer, tariff=evolve(tariff, fee=None))
            if isinstance(tariff, Prepaid)
            else lease.offer
        )
        gpus = int(lease.provider_data.get("gpus", "1"))
        return Order(key=key, kind=OrderKind.RENEW, offer=offer, term=term, onto=lease.ref, gpus=gpus)

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        pending = lease.pending
        if pending is None:
            return lease
        if pending.kind is OrderKind.RENEW:
            pallet, number = parse_ref(lease.ref)
        else:
            deal, placed = (
                await self._orders.deals.find_deal(pending.key),
                await self._orders.deals.find_placed_order(pending.key),
            )
            if deal is None or placed is None:
                raise LeaseError(_("no order was placed for this payment"), retryable=True)
            pallet, number = deal.pallet, placed.order
        order = await self._orders.chain.find_order(pallet, number)
        if order is None or not order.running:
            return evolve(lease, pending=evolve(pending, paid=True))
        if pending.kind is OrderKind.NEW:
            lease = await self._start_provisioning(lease, pallet, order)
        ends = await self._orders.chain.estimate_block_time(order.end)
        return evolve(lease, pending=None, expires_at=ends)

    async def _start_provisioning(self, lease: Lease, pallet: Pallet, order: wire.ChainOrder) -> Lease:
        return evolve(
            lease.with_state(LeaseState.PROVISIONING, _("the machine is starting")),
            ref=make_ref(pallet, order.id),
            started_at=await self._orders.chain.estimate_block_time(order.start),
            provider_data={**lease.provider_data, "gpus": str(order.gpus), "machine": order.machine},
        )

    # refresh

    async def refresh_lease(self, lease: Lease) -> Lease | Absent:
        if not lease.ref or (lease.is_over and lease.state is not LeaseState.KEPT):
            return lease
        if lease.state is LeaseState.RELEASING:
            # The newest block is not final; `release_lease` waits for finality and enters the refund.
            return lease
        if lease.state is LeaseState.KEPT:
            gone = lease.kept_until is not None and lease.kept_until <= self._context.clock.now()
            return (
                lease.with_state(LeaseState.GONE, _("the host keeps files for ten days only"))
                if gone
                else lease
            )
        pallet, number = parse_ref(lease.ref)
        order = await self._orders.chain.find_order(pallet, number)
        if order is None and await self._orders.sender.has_begun(f"{lease.ref}/terminate"):
            # Our own release, whose refund only `release_lease` enters.
            return lease.with_state(LeaseState.RELEASING, _("the release was sent to the chain"))
        if order is None:
            return await self._find_absence(lease, pallet, number)
        lease = evolve(lease, expires_at=await self._orders.chain.estimate_block_time(order.end))
        return await self._poll_task(lease, order) if lease.state is LeaseState.PROVISIONING else lease

    async def _find_absence(self, lease: Lease, pallet: Pallet, number: int) -> Lease | Absent:
        """Return `Absent` if neither of the chain's lists has the order: the chain drops orders at their end.

        A node that lags behind lacks a new order too.
        """
        if number in await self._orders.chain.list_order_ids(pallet, await self._orders.get_address()):
            return evolve(lease, note=_("the chain does not list the order at the moment"))
        ends_now = self._context.clock.now() + timedelta(minutes=1)
        if lease.expires_at is not None and lease.expires_at <= ends_now:
            note = _("the rented time is over; the host keeps the files for ten days")
            return Absent(note, files_kept_for=FILE_RETENTION)
        return Absent(_("the chain ended the order early"))

    async def _poll_task(self, lease: Lease, order: wire.ChainOrder) -> Lease:
        task = await self._find_task(lease, order)
        if task is None or not task.running or task.password is None:
            note = _("the machine's status: {status}").format(status=task.status) if task else ""
            return evolve(lease, note=note or _("the client node does not list the machine yet"))
        lease = evolve(lease, password_ref=lease.password_ref or f"password-{order.id}")
        self._context.vault.put(lease.password_ref, task.password)
        ready = evolve(lease.with_state(LeaseState.READY), endpoint=task.endpoint, note="")
        url = self._context.settings["client_url"]
        return await add_access_source(self._context, ready, url, has_password=True)

    async def _find_task(self, lease: Lease, order: wire.ChainOrder) -> NodeTask | None:
        """Return the virtual machine of this order; its label is the key of the bill that paid the order."""
        label = await self._get_task_label(lease)
        for task in await self._node.list_tasks(order.machine, order.id):
            if task.label == label:
                return await self._node.get_task(order.machine, order.id, task.id)
        return None

    async def _get_task_label(self, lease: Lease) -> str:
        pallet, number = parse_ref(lease.ref)
        return await self._orders.deals.get_order_key(pallet.rpc_prefix, number)

    # release

    async def release_lease(self, lease: Lease) -> Lease | Absent:
        if lease.is_over and lease.pending is None:
            return lease
        if lease.pending is not None and lease.pending.kind is OrderKind.NEW:
            lease = await self._abandon_rent(lease, lease.pending)
            if lease.is_over:
                return lease
        if lease.pending is not None:
            await self._settle_relet(lease.pending)
        lease = evolve(lease, pending=None)
        pallet, number = parse_ref(lease.ref)
        order = await self._orders.chain.find_order(pallet, number)
        if order is None and not await self._orders.sender.has_begun(f"{lease.ref}/terminate"):
            return await self._find_absence(lease, pallet, number)
        if order is not None:
            await self._node.delete_task(order.machine, number, await self._get_task_label(lease))
        if pallet.is_refundable and not await self._orders.try_terminate(pallet, number):
            return evolve(
                lease.with_state(LeaseState.RELEASING, _("the release was sent to the chain")), endpoint=None
            )
        note = (
            _("released; unused rent was refunded")
            if pallet.is_refundable
            else _("released; this order is not refundable")
        )
        # The chain lists an order that is not refundable as running until its end, although its machine is deleted.
        await self._context.state.put(f"released/{lease.ref}", self._context.clock.now().isoformat())
        return evolve(
            lease.with_state(LeaseState.RELEASED, note), endpoint=None, ended_at=self._context.clock.now()
        )

    async def _abandon_rent(self, lease: Lease, pending: PendingOrder) -> Lease:
        """Abandon a rent that was not confirmed, so that nothing more is sent for it.

        If it turns out to have been confirmed, the lease is returned as provisioned.
        """
        trade, deal = self._orders, await self._orders.deals.find_deal(pending.key)
        if deal is None:
            return evolve(lease.with_state(LeaseState.CANCELLED), pending=None)
        why = await trade.deals.get_abandon_reason(pending.key)
        if not why:
            why = _(
                "released before confirmation; the amount that the chain holds is returned within 15 minutes"
            )
            await trade.deals.save_abandon_reason(pending.key, why)
        placed = await trade.wait_for_rent(pending.key, deal)
        if placed is not None:
            if await trade.wait_for_confirm(pending.key, deal, placed) is not None:
                order = await trade.chain.find_order(deal.pallet, placed.order)
                if order is not None:
                    return evolve(await self._start_provisioning(lease, deal.pallet, order), pending=None)
            await self._node.delete_task(deal.machine, placed.order, pending.key)
        await trade.ledger.drop_hold(pending.key)
        return evolve(lease.with_state(LeaseState.CANCELLED, why), pending=None)

    async def _settle_relet(self, pending: PendingOrder) -> None:
        """Wait until no renewal is in flight, then enter what it cost."""
        deal = await self._orders.deals.find_deal(pending.key)
        if (
            deal is not None
            and await self._orders.sender.wait_for_outcome(f"{pending.key}/relet") is not None
        ):
            try:
                # It is included already: this sends nothing and only records what it cost.
                await self._orders.send_relet(pending.key, deal)
            except LeaseError as error:
                self._context.log.warning("%s", error.message)
        await self._orders.ledger.drop_hold(pending.key)

    async def list_leases(self) -> Known[Lease] | Unknown:
        chain, me, found = self._orders.chain, await self._orders.get_address(), []
        prices = await chain.get_prices()
        for pallet in PALLETS.values():
            for number in await chain.list_order_ids(pallet, me):
                order = await chain.find_order(pallet, number)
                is_released = (
                    await self._context.state.get(f"released/{make_ref(pallet, number)}") is not None
                )
                if order is None or not order.running or is_released:
                    continue
                stock = await chain.find_stock(pallet, order.machine)
                if stock is None:
                    return Unknown(
                        _("the chain has the order {ref}, but not its machine").format(
                            ref=make_ref(pallet, number)
                        )
                    )
                found.append(
                    Lease(
                        id="",
                        provider=NAME,
                        offer=make_offer(pallet, stock, prices.fee),
                        state=LeaseState.READY,
                        ref=make_ref(pallet, number),
                        started_at=await chain.estimate_block_time(order.start),
                        expires_at=await chain.estimate_block_time(order.end),
                        provider_data={"gpus": str(order.gpus), "machine": order.machine},
                    )
                )
        return Known(tuple(found))


def _make_bill(order: Order, deal: Purchase, cost: OrderCost) -> Bill:
    rent = _("rent {amount} (blocks: {blocks})").format(amount=wire.to_money(cost.rent), blocks=deal.blocks)
    parts = [rent]
    if cost.fee:
        parts.append(_("order fee {amount}").format(amount=wire.to_money(cost.fee)))
    parts.append(_("network fees {amount}").format(amount=wire.to_money(3 * cost.network)))
    parts.append(_("1 % of the rent for price changes"))
    refund = _("unused rent is refunded") if deal.pallet.is_refundable else _("no refund once confirmed")
    return Bill(
        key=order.key,
        payee=f"{deal.pallet.name} {deal.machine}",
        payee_per_order=True,
        amount=wire.to_money(cost.maximum),
        purpose=PaymentPurpose.RENEWAL if deal.verb == "relet" else PaymentPurpose.RENT,
        memo=_("at most: {parts}; {refund}").format(parts=" + ".join(parts), refund=refund),
    )
