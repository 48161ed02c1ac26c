"""Orders: each is sent once, read back from the chain's state at its block, and entered in the ledger."""

from __future__ import annotations

from attrs import frozen

from gpurent.api import ChargeKind, LeaseError, PluginContext, SoldOut
from gpurent_plugin_dbcchain import _, ngettext
from gpurent_plugin_dbcchain.chain_client import ChainClient
from gpurent_plugin_dbcchain.extrinsic import Pallet, RuntimeCall, build_fake_extrinsic
from gpurent_plugin_dbcchain.keys import ss58_decode
from gpurent_plugin_dbcchain.price import compute_cost, compute_rent
from gpurent_plugin_dbcchain.purchases import ChainLedger, PlacedOrder, Purchase, PurchaseStore, make_ref
from gpurent_plugin_dbcchain.second_node import make_second_node
from gpurent_plugin_dbcchain.sender import ExtrinsicReceipt, ExtrinsicSender

_TAKEN_ERRORS = ("GPUNotEnough", "MachineNotRentable", "MachineNotFound")


@frozen(kw_only=True)
class OrderCost:
    """The current cost in 10^-15 DBC: the rent, the fee of a new order, and the network fee for one extrinsic."""

    rent: int
    fee: int
    network: int

    @property
    def maximum(self) -> int:
        """The cost with a margin for the floating price (mean of 64 samples, one a minute) and later network fees."""
        return self.rent + self.rent // 100 + 1 + self.fee + 3 * self.network

    @property
    def minimum(self) -> int:
        return self.rent + self.fee + 2 * self.network


class ChainOrders:
    """Orders on the chain; wallet and provider share them and the saved state."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self.chain = ChainClient(context.http)
        self.second = make_second_node(context, self.chain)
        self.sender = ExtrinsicSender(context, self.chain)
        self.deals = PurchaseStore(context.state)
        self.ledger = ChainLedger(context)

    async def get_address(self) -> str:
        return (await self._context.get_login()).account

    async def estimate_cost(self, deal: Purchase) -> OrderCost:
        """Return the current cost; if a second node is set, both must agree about it as of one block."""
        if self.second is None:
            return await self._estimate_at(self.chain, deal)
        return await self.second.ask_both(
            _("the cost"), lambda chain, block: self._estimate_at(chain, deal, block)
        )

    async def _estimate_at(self, chain: ChainClient, deal: Purchase, *block_hash: str) -> OrderCost:
        stock = await chain.find_stock(deal.pallet, deal.machine, *block_hash)
        if stock is None:
            raise SoldOut(_("the chain does not list this machine"))
        if deal.verb == "rent" and stock.free < deal.gpus:
            raise SoldOut(
                ngettext(
                    "{free} of {gpus} GPU is free on this machine (status: {status})",
                    "{free} of {gpus} GPUs are free on this machine (status: {status})",
                    stock.machine.gpus,
                ).format(free=stock.free, gpus=stock.machine.gpus, status=stock.machine.status),
                hint=_("Pick another machine: gpurent offers"),
            )
        prices = await chain.get_prices(*block_hash)
        me = await self.get_address()
        body = build_fake_extrinsic(
            ss58_decode(me), deal.make_call().encode(), await self.chain.get_next_nonce(me)
        )
        return OrderCost(
            rent=compute_rent(stock.tariff.price_per_day(deal.gpus), deal.blocks, prices.average),
            fee=prices.fee if deal.verb == "rent" else 0,
            network=await chain.get_network_fee(body, *block_hash),
        )

    # a new order

    async def send_rent(self, key: str, deal: Purchase) -> tuple[PlacedOrder | None, str]:
        """Send the rent call and return the order, or None and why the chain refused it."""
        landed = await self.sender.send(f"{key}/rent", deal.make_call())
        return await self._record_rent(key, deal, landed), landed.error

    async def is_taken(self, key: str, deal: Purchase) -> bool:
        """Return whether the machine of a rent that the chain refused lacks the GPUs, as of the block of the refusal.

        The two registries number their errors differently, and not all numbers are known.
        """
        landed = await self.sender.wait_for_outcome(f"{key}/rent")
        if landed is None:
            return False
        if landed.error in _TAKEN_ERRORS:
            return True
        stock = await self.chain.find_stock(deal.pallet, deal.machine, landed.block)
        return stock is None or stock.free < deal.gpus

    async def wait_for_rent(self, key: str, deal: Purchase) -> PlacedOrder | None:
        """Wait for the outcome of a rent that may be in flight; sends nothing."""
        landed = await self.sender.wait_for_outcome(f"{key}/rent")
        return None if landed is None else await self._record_rent(key, deal, landed)

    async def _record_rent(self, key: str, deal: Purchase, landed: ExtrinsicReceipt) -> PlacedOrder | None:
        known = await self.deals.find_placed_order(key)
        if known is not None:
            return known
        chain, me = self.chain, await self.get_address()
        before = await chain.list_order_ids(deal.pallet, me, landed.parent)
        for number in await chain.list_order_ids(deal.pallet, me, landed.block):
            if number in before or await self.deals.get_order_key(deal.registry, number) not in ("", key):
                continue
            order = await chain.find_order(deal.pallet, number, landed.block)
            if order is not None and (order.machine, order.start) == (deal.machine, landed.number):
                await self._record_fees(key, landed, _("order"), (await chain.get_prices(landed.parent)).fee)
                placed = PlacedOrder(order=number, start=order.start, end=order.end, stake=order.stake)
                await self.deals.save_placed_order(key, deal, placed)
                return placed
        await self._record_fees(key, landed, _("rejected order"), 0)
        return None

    async def _record_fees(self, key: str, landed: ExtrinsicReceipt, what: str, fixed: int) -> None:
        average = (await self.chain.get_prices(landed.block)).average
        for ref, units, note in (
            (f"{landed.digest}/network", landed.fee, _("network fee: {what}").format(what=what)),
            (f"{landed.digest}/fee", fixed, _("fee for a new order")),
        ):
            await self.ledger.add_entry(
                key, ref, ChargeKind.FEE, units, at=landed.at, note=note, average=average
            )

    async def send_confirm(self, key: str, deal: Purchase, placed: PlacedOrder) -> ExtrinsicReceipt | None:
        """Send the confirmation and return its receipt; None if the chain refused it."""
        call = RuntimeCall(pallet=deal.pallet, verb="confirm", order=placed.order)
        return await self._record_confirm(key, deal, placed, await self.sender.send(f"{key}/confirm", call))

    async def wait_for_confirm(
        self, key: str, deal: Purchase, placed: PlacedOrder
    ) -> ExtrinsicReceipt | None:
        """Wait for the outcome of a confirmation that may be in flight; sends nothing."""
        landed = await self.sender.wait_for_outcome(f"{key}/confirm")
        return None if landed is None else await self._record_confirm(key, deal, placed, landed)

    async def _record_confirm(
        self, key: str, deal: Purchase, placed: PlacedOrder, landed: ExtrinsicReceipt
    ) -> ExtrinsicReceipt | None:
        await self._record_fees(key, landed, _("confirmation"), 0)
        order = await self.chain.find_order(deal.pallet, placed.order, landed.block)
        if order is None or not order.running:
            return None
        await self.ledger.add_entry(
            key,
            landed.digest,
            ChargeKind.USAGE,
            placed.stake,
            at=landed.at,
            note=_("rent of {ref}").format(ref=make_ref(deal.pallet, placed.order)),
            average=(await self.chain.get_prices(landed.block)).average,
        )
        return landed

    # renewals

    async def send_relet(self, key: str, deal: Purchase) -> ExtrinsicReceipt:
        """Buy more time, paid at once; the cost is what the account lost in that block."""
        landed = await self.sender.send(f"{key}/relet", deal.make_call())
        before = await self.chain.find_order(deal.pallet, deal.order, landed.parent)
        after = await self.chain.find_order(deal.pallet, deal.order, landed.block)
        await self._record_fees(key, landed, _("renewal"), 0)
        if before is None or after is None or after.end == before.end:
            await self.ledger.drop_hold(key)
            raise LeaseError(
                _("the chain rejected the renewal: {why}").format(why=landed.error or _("no reason given")),
                hint=_("Only the network fee was spent."),
            )
        if deal.pallet.is_refundable:
            units = after.stake - before.stake
        else:
            units = await self._find_relet_rent(deal, after.end - before.end, landed)
        await self.ledger.add_entry(
            key,
            landed.digest,
            ChargeKind.RENEWAL,
            units,
            at=landed.at,
            note=_("renewal of {ref}").format(ref=make_ref(deal.pallet, deal.order)),
            average=(await self.chain.get_prices(landed.block)).average,
        )
        return landed

    async def _find_relet_rent(self, deal: Purchase, blocks: int, landed: ExtrinsicReceipt) -> int:
        """Return the rent paid in this block: at the price before or in it, whichever matches the account's loss."""
        me, asked = await self.get_address(), []
        for at in (landed.parent, landed.block):
            stock = await self.chain.find_stock(deal.pallet, deal.machine, at)
            if stock is not None:
                average = (await self.chain.get_prices(at)).average
                asked.append(compute_rent(stock.tariff.price_per_day(deal.gpus), blocks, average))
        before = await self.chain.get_account(me, landed.parent)
        lost = before.total - (await self.chain.get_account(me, landed.block)).total - landed.fee
        return lost if lost in asked or not asked else asked[-1]

    async def try_terminate(self, pallet: Pallet, order: int) -> bool:
        """Terminate an order whose unused rent is refunded; return False until the chain has done it."""
        ref = make_ref(pallet, order)
        landed = await self.sender.try_send(
            f"{ref}/terminate", RuntimeCall(pallet=pallet, verb="terminate", order=order)
        )
        if landed is None:
            return False
        await self._record_fees(ref, landed, _("release"), 0)
        before = await self.chain.find_order(pallet, order, landed.parent)
        after = await self.chain.find_order(pallet, order, landed.block)
        if before is None or after is not None:
            return after is None
        back = before.stake - compute_cost(
            before.stake, landed.number - before.start, before.end - before.start
        )
        await self.ledger.add_entry(
            ref,
            landed.digest,
            ChargeKind.REFUND,
            back,
            at=landed.at,
            note=_("unused rent of {ref}").format(ref=ref),
            average=(await self.chain.get_prices(landed.block)).average,
        )
        return True
