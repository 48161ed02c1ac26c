"""Orders: each is sent once, read back from the chain's state at its block, and entered in the books."""

from __future__ import annotations

from attrs import frozen

from gpurent.api import ChargeKind, LeaseError, PluginContext, SoldOut
from gpurent_plugin_dbcchain.chain import Chain
from gpurent_plugin_dbcchain.deals import Bookkeeping, Deal, Deals, Placed, ref_of
from gpurent_plugin_dbcchain.extrinsic import Call, Pallet, sketch
from gpurent_plugin_dbcchain.keys import public_of
from gpurent_plugin_dbcchain.price import rent, used
from gpurent_plugin_dbcchain.sender import Landed, Sender


@frozen(kw_only=True)
class Cost:
    """In 10^-15 DBC, as of now: the rent, the fee of a new order, and the network's fee for one extrinsic."""

    rent: int
    fee: int
    network: int

    @property
    def most(self) -> int:
        """With room for the floating price (the mean of 64 samples, one a minute) and for the network's later fees."""
        return self.rent + self.rent // 100 + 1 + self.fee + 3 * self.network

    @property
    def least(self) -> int:
        return self.rent + self.fee + 2 * self.network


class Trade:
    """Shared by wallet and shop: both see the same notes."""

    def __init__(self, host: PluginContext) -> None:
        self._host = host
        self.chain = Chain(host.http)
        self.sender = Sender(host, self.chain)
        self.deals = Deals(host.notes)
        self.books = Bookkeeping(host.notes)

    async def me(self) -> str:
        return (await self._host.login()).account

    async def cost(self, deal: Deal) -> Cost:
        stock = await self.chain.stock(deal.pallet, deal.machine)
        if stock is None:
            raise SoldOut("the chain does not know this machine now", hint="Nothing was spent.")
        if deal.verb == "rent" and stock.free < deal.gpus:
            raise SoldOut(
                f"{stock.free} of {stock.machine.gpus} GPUs are free here (the machine is {stock.machine.status})",
                hint="Nothing was spent. Pick another machine: gpurent offers",
            )
        prices = await self.chain.prices()
        me = await self.me()
        body = sketch(public_of(me), deal.call().encode(), await self.chain.next_nonce(me))
        return Cost(
            rent=rent(stock.tariff.day(deal.gpus), deal.blocks, prices.average),
            fee=prices.fee if deal.verb == "rent" else 0,
            network=await self.chain.network_fee(body),
        )

    # a new order

    async def rent(self, key: str, deal: Deal) -> tuple[Placed | None, str]:
        """The order, or None and why the chain refused it."""
        landed = await self.sender.send(f"{key}/rent", deal.call())
        return await self._placed(key, deal, landed), landed.error

    async def settled(self, key: str, deal: Deal) -> Placed | None:
        """What came of a rent that may be on its way; sends nothing."""
        landed = await self.sender.settled(f"{key}/rent")
        return None if landed is None else await self._placed(key, deal, landed)

    async def _placed(self, key: str, deal: Deal, landed: Landed) -> Placed | None:
        known = self.deals.placed(key)
        if known is not None:
            return known
        chain, me = self.chain, await self.me()
        before = await chain.order_ids(deal.pallet, me, landed.parent)
        for number in await chain.order_ids(deal.pallet, me, landed.block):
            if number in before or self.deals.whose(deal.registry, number) not in ("", key):
                continue
            order = await chain.order(deal.pallet, number, landed.block)
            if order is not None and (order.machine, order.start) == (deal.machine, landed.number):
                await self._fees(key, landed, "order", (await chain.prices(landed.parent)).fee)
                placed = Placed(order=number, start=order.start, end=order.end, stake=order.stake)
                self.deals.place(key, deal, placed)
                return placed
        await self._fees(key, landed, "order that was refused", 0)
        return None

    async def _fees(self, key: str, landed: Landed, what: str, fixed: int) -> None:
        average = (await self.chain.prices(landed.block)).average
        for ref, units, note in (
            (f"{landed.digest}/network", landed.fee, f"the network's fee: {what}"),
            (f"{landed.digest}/fee", fixed, "the fee of a new order"),
        ):
            self.books.enter(key, ref, ChargeKind.FEE, units, at=landed.at, note=note, average=average)

    async def confirm(self, key: str, deal: Deal, placed: Placed) -> Landed | None:
        """Where the confirmation stands; None when the chain refused it."""
        call = Call(pallet=deal.pallet, verb="confirm", order=placed.order)
        return await self._confirmed(key, deal, placed, await self.sender.send(f"{key}/confirm", call))

    async def confirmed(self, key: str, deal: Deal, placed: Placed) -> Landed | None:
        """Likewise for one that may be on its way; sends nothing."""
        landed = await self.sender.settled(f"{key}/confirm")
        return None if landed is None else await self._confirmed(key, deal, placed, landed)

    async def _confirmed(self, key: str, deal: Deal, placed: Placed, landed: Landed) -> Landed | None:
        await self._fees(key, landed, "confirmation", 0)
        order = await self.chain.order(deal.pallet, placed.order, landed.block)
        if order is None or not order.running:
            return None
        self.books.enter(
            key,
            landed.digest,
            ChargeKind.USE,
            placed.stake,
            at=landed.at,
            note=f"rent of {ref_of(deal.pallet, placed.order)}",
            average=(await self.chain.prices(landed.block)).average,
        )
        return landed

    # a running order

    async def relet(self, key: str, deal: Deal) -> Landed:
        """More time, paid at once; what it cost is what the account lost in that block."""
        landed = await self.sender.send(f"{key}/relet", deal.call())
        before = await self.chain.order(deal.pallet, deal.order, landed.parent)
        after = await self.chain.order(deal.pallet, deal.order, landed.block)
        await self._fees(key, landed, "more time", 0)
        if before is None or after is None or after.end == before.end:
            raise LeaseError(
                f"the chain refuses more time: {landed.error or 'no reason given'}",
                hint="The network's small fee was spent, nothing else.",
            )
        if deal.pallet.refunds:
            units = after.stake - before.stake
        else:
            units = await self._taken(deal, after.end - before.end, landed)
        self.books.enter(
            key,
            landed.digest,
            ChargeKind.RENEWAL,
            units,
            at=landed.at,
            note=f"more time on {ref_of(deal.pallet, deal.order)}",
            average=(await self.chain.prices(landed.block)).average,
        )
        return landed

    async def _taken(self, deal: Deal, blocks: int, landed: Landed) -> int:
        """The rent that left in this block: by the price before or in it, whichever the account's loss agrees with."""
        me, asked = await self.me(), []
        for at in (landed.parent, landed.block):
            stock = await self.chain.stock(deal.pallet, deal.machine, at)
            if stock is not None:
                average = (await self.chain.prices(at)).average
                asked.append(rent(stock.tariff.day(deal.gpus), blocks, average))
        before = await self.chain.account(me, landed.parent)
        lost = before.total - (await self.chain.account(me, landed.block)).total - landed.fee
        return lost if lost in asked or not asked else asked[-1]

    async def terminate(self, pallet: Pallet, order: int) -> bool:
        """Give an order back whose unused rent returns; false while the chain has not done it yet."""
        ref = ref_of(pallet, order)
        landed = await self.sender.advance(
            f"{ref}/terminate", Call(pallet=pallet, verb="terminate", order=order)
        )
        if landed is None:
            return False
        await self._fees(ref, landed, "giving back", 0)
        before = await self.chain.order(pallet, order, landed.parent)
        after = await self.chain.order(pallet, order, landed.block)
        if before is None or after is not None:
            return after is None
        back = before.stake - used(before.stake, landed.number - before.start, before.end - before.start)
        self.books.enter(
            ref,
            landed.digest,
            ChargeKind.REFUND,
            back,
            at=landed.at,
            note=f"unused rent of {ref}",
            average=(await self.chain.prices(landed.block)).average,
        )
        return True
