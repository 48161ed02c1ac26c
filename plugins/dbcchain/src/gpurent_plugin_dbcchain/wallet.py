"""An account on the chain. `pay` alone orders: the rent, and once the machine is up, its confirmation."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import NoReturn
from urllib.parse import urlsplit

from gpurent.api import (
    Balance,
    Bill,
    BillingProvider,
    Charge,
    Currency,
    Known,
    Lease,
    LeaseError,
    Money,
    MoneyError,
    Payment,
    PluginContext,
    Rate,
    Spent,
    TopUp,
    UnavailableError,
    UnexpectedResponse,
    Unknown,
    is_loopback,
)
from gpurent_plugin_dbcchain import wire
from gpurent_plugin_dbcchain.deals import Deal, Placed
from gpurent_plugin_dbcchain.node import ClientNode
from gpurent_plugin_dbcchain.price import BLOCK, WINDOW
from gpurent_plugin_dbcchain.sender import Landed
from gpurent_plugin_dbcchain.trade import Trade

# The confirmation must be in a block before the window closes; it is sent so many blocks earlier at the latest.
MARGIN = 15
PURCHASE = "https://www.dbcwallet.io"


class Wallet(BillingProvider):
    """``Bill.key`` finds the deal that the shop noted; what was done for it is in the notes too."""

    def __init__(self, host: PluginContext) -> None:
        self._host = host
        self._trade = Trade(host)
        self._node = ClientNode(host)

    async def balance(self) -> Balance:
        chain = self._trade.chain
        found = await chain.account(await self._trade.me())
        return Balance(
            available=wire.money(found.free), held=wire.money(found.reserved), at=await chain.time()
        )

    async def rate(self, quote: Currency) -> Rate:
        """The chain's own price, which is what rents are computed with; dated by its newest block."""
        if quote.code != "USD":
            raise MoneyError(f"the chain prices DBC in USD, not in {quote.code}")
        prices = await self._trade.chain.prices()
        return Rate(wire.DBC, quote, Decimal(prices.average) / 10**6, prices.at, "dbcPriceOcw.avgPrice")

    async def top_up(self, money: Money) -> TopUp:
        me = await self._trade.me()
        return TopUp(
            steps=(
                f"Send {money} to {me} on the DeepBrain Chain (Substrate address, not the 0x one).",
                "They are there after a block or two; see gpurent balance.",
            ),
            url=PURCHASE,
            qr=me,
            advice="Each new order costs a fee of its own on top of the rent, which never comes back.",
        )

    # paying

    async def pay(self, bill: Bill) -> Payment:
        deal = self._trade.deals.deal(bill.key)
        if deal is None:
            raise MoneyError(f"nothing was ordered under {bill.key}", hint="Nothing was paid.")
        if not self._trade.sender.begun(f"{bill.key}/{deal.verb}"):
            await self._must_be_payable(bill, deal)
        landed = await (self._rent(bill, deal) if deal.verb == "rent" else self._trade.relet(bill.key, deal))
        return Payment(
            key=bill.key,
            proof=landed.digest,
            amount=self._trade.books.spent([bill.key]),
            at=datetime.fromisoformat(landed.at),
        )

    async def _must_be_payable(self, bill: Bill, deal: Deal) -> None:
        """Nothing is signed for what is odd, not allowed, or dearer by now."""
        self._must_be_allowed(bill)
        if deal.verb == "rent":
            self._node.must_be_set()
        cost = await self._trade.cost(deal)
        if wire.money(cost.least) > bill.amount:
            raise MoneyError(
                f"the price rose: {wire.money(cost.least)} now, above the bill of at most {bill.amount}",
                hint="Nothing was paid. Start again for a fresh bill.",
                retryable=True,
            )
        available = (await self.balance()).available
        if bill.amount > available:
            raise MoneyError(
                f"the wallet has {available}, the bill is at most {bill.amount}",
                hint="Nothing was paid. gpurent topup shows how DBC get in.",
            )

    def _must_be_allowed(self, bill: Bill) -> None:
        """On a real chain only with the user's own yes and ceiling; a ceiling counts everywhere."""
        settings = self._host.settings
        if bill.amount.currency != wire.DBC or bill.amount.amount < 0:
            raise MoneyError(f"this wallet cannot pay {bill.amount}", hint="Nothing was paid.")
        ceiling = settings.get("ceiling", "").strip()
        if not is_here(settings.get("url", "")) and (settings.get("spend") != "yes" or not ceiling):
            raise MoneyError(
                "spending on the real chain is not switched on",
                hint='Nothing was paid. It was never tried live. To allow it set both: [dbc-chain] spend = "yes" and '
                'ceiling = "500DBC", the most that may ever leave through gpurent.',
            )
        if not ceiling:
            return
        most = wire.DBC.money(ceiling.removesuffix("DBC").strip())
        spent = self._trade.books.spent()
        if spent + bill.amount > most:
            raise MoneyError(
                f"{spent} were spent so far; with {bill.amount} more it would be above the ceiling of {most}",
                hint="Nothing was paid. If it is right, raise [dbc-chain] ceiling.",
            )

    async def _rent(self, bill: Bill, deal: Deal) -> Landed:
        trade, key = self._trade, bill.key
        if why := trade.deals.left(key):
            raise self._gone(key, why)
        placed, refusal = await trade.rent(key, deal)
        if placed is None:
            trade.deals.leave(key, f"the chain refused the order: {refusal or 'no reason given'}")
            raise self._gone(key, trade.deals.left(key))
        if not trade.sender.begun(f"{key}/confirm"):
            await self._must_be_worth_it(bill, deal, placed)
        landed = await trade.confirm(key, deal, placed)
        if landed is None:
            await self._leave(key, deal, placed, "the chain did not take the confirmation in time")
        return landed

    async def _must_be_worth_it(self, bill: Bill, deal: Deal, placed: Placed) -> None:
        """Within the window the machine is tried for the fee alone: it must cost no more than billed, and come up."""
        spent = self._trade.books.spent([bill.key])
        if spent + wire.money(placed.stake) > bill.amount:
            why = f"the chain set {wire.money(placed.stake)} aside, more than was billed"
            await self._leave(bill.key, deal, placed, why)
        trouble = "the machine did not come up in time"
        while await self._trade.chain.height() <= placed.start + WINDOW - MARGIN:
            try:
                task = await self._node.create(deal, placed.order, bill.key)
                if (await self._node.task(deal.machine, placed.order, task)).running:
                    return
            except (UnavailableError, UnexpectedResponse) as error:
                trouble = error.message
            except LeaseError as error:
                await self._leave(bill.key, deal, placed, error.message)
            await self._host.clock.sleep(2 * BLOCK)
        await self._leave(bill.key, deal, placed, trouble)

    async def _leave(self, key: str, deal: Deal, placed: Placed, why: str) -> NoReturn:
        """Not confirmed: the rent comes back by itself when the window closes."""
        back = await self._trade.chain.when(placed.start + WINDOW)
        self._trade.deals.leave(
            key, f"{why}; not confirmed, so {wire.money(placed.stake)} come back by {back:%H:%M} UTC"
        )
        await self._node.drop(deal.machine, placed.order, key)
        raise self._gone(key, self._trade.deals.left(key))

    def _gone(self, key: str, why: str) -> MoneyError:
        spent = self._trade.books.spent([key])
        return MoneyError(
            why,
            hint=f"Spent: {spent} of fees, which do not come back.",
            spent=Spent.YES if spent.amount else Spent.NO,
        )

    # books

    async def charges(self, lease: Lease) -> Known[Charge] | Unknown:
        keys = [bill.key for bill in lease.bills]
        if lease.pending is not None:
            keys.append(lease.pending.key)
        return Known(tuple(self._trade.books.charges([*keys, lease.ref])))


def is_here(url: str) -> bool:
    """Whether ``url`` is on this computer, where nothing real is spent."""
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
