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
from gpurent_plugin_dbcchain.client_node import ClientNode
from gpurent_plugin_dbcchain.deals import Deal, PlacedOrder
from gpurent_plugin_dbcchain.orders import ChainOrders
from gpurent_plugin_dbcchain.price import BLOCK_TIME, CONFIRM_WINDOW
from gpurent_plugin_dbcchain.sender import ExtrinsicReceipt

# The confirmation must be in a block before the window closes; it is sent so many blocks earlier at the latest.
CONFIRM_MARGIN = 15
PURCHASE_URL = "https://www.dbcwallet.io"


class ChainWallet(BillingProvider):
    """``Bill.key`` finds the deal that the shop noted; what was done for it is in the notes too."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._orders = ChainOrders(context)
        self._node = ClientNode(context)

    async def get_balance(self) -> Balance:
        chain = self._orders.chain
        found = await chain.get_account(await self._orders.get_address())
        return Balance(
            available=wire.to_money(found.free),
            held=wire.to_money(found.reserved),
            at=await chain.get_block_time(),
        )

    async def get_rate(self, quote: Currency) -> Rate:
        """The chain's own price, which is what rents are computed with; dated by its newest block."""
        if quote.code != "USD":
            raise MoneyError(f"the chain prices DBC in USD, not in {quote.code}")
        prices = await self._orders.chain.get_prices()
        return Rate(wire.DBC, quote, Decimal(prices.average) / 10**6, prices.at, "dbcPriceOcw.avgPrice")

    async def create_top_up(self, money: Money) -> TopUp:
        me = await self._orders.get_address()
        return TopUp(
            steps=(
                f"Send {money} to {me} on the DeepBrain Chain (Substrate address, not the 0x one).",
                "They are there after a block or two; see gpurent balance.",
            ),
            url=PURCHASE_URL,
            qr=me,
            advice="Each new order costs a fee of its own on top of the rent, which never comes back.",
        )

    # paying

    async def pay_bill(self, bill: Bill) -> Payment:
        deal = self._orders.deals.find_deal(bill.key)
        if deal is None:
            raise MoneyError(f"nothing was ordered under {bill.key}", hint="Nothing was paid.")
        if not self._orders.sender.has_begun(f"{bill.key}/{deal.verb}"):
            await self._check_payable(bill, deal)
        landed = await (
            self._rent_and_confirm(bill, deal)
            if deal.verb == "rent"
            else self._orders.send_relet(bill.key, deal)
        )
        return Payment(
            key=bill.key,
            proof=landed.digest,
            amount=self._orders.ledger.sum_spent([bill.key]),
            at=datetime.fromisoformat(landed.at),
        )

    async def _check_payable(self, bill: Bill, deal: Deal) -> None:
        """Nothing is signed for what is odd, not allowed, or dearer by now."""
        self._check_spending_allowed(bill)
        if deal.verb == "rent":
            self._node.check_configured()
        cost = await self._orders.estimate_cost(deal)
        if wire.to_money(cost.minimum) > bill.amount:
            raise MoneyError(
                f"the price rose: {wire.to_money(cost.minimum)} now, above the bill of at most {bill.amount}",
                hint="Nothing was paid. Start again for a fresh bill.",
                retryable=True,
            )
        available = (await self.get_balance()).available
        if bill.amount > available:
            raise MoneyError(
                f"the wallet has {available}, the bill is at most {bill.amount}",
                hint="Nothing was paid. gpurent topup shows how DBC get in.",
            )

    def _check_spending_allowed(self, bill: Bill) -> None:
        """On a real chain only with the user's own yes and ceiling; a ceiling counts everywhere."""
        settings = self._context.settings
        if bill.amount.currency != wire.DBC or bill.amount.amount < 0:
            raise MoneyError(f"this wallet cannot pay {bill.amount}", hint="Nothing was paid.")
        ceiling = settings.get("ceiling", "").strip()
        if not is_local_url(settings.get("url", "")) and (settings.get("spend") != "yes" or not ceiling):
            raise MoneyError(
                "spending on the real chain is not switched on",
                hint='Nothing was paid. It was never tried live. To allow it set both: [dbc-chain] spend = "yes" and '
                'ceiling = "500DBC", the most that may ever leave through gpurent.',
            )
        if not ceiling:
            return
        most = wire.DBC.money(ceiling.removesuffix("DBC").strip())
        spent = self._orders.ledger.sum_spent()
        if spent + bill.amount > most:
            raise MoneyError(
                f"{spent} were spent so far; with {bill.amount} more it would be above the ceiling of {most}",
                hint="Nothing was paid. If it is right, raise [dbc-chain] ceiling.",
            )

    async def _rent_and_confirm(self, bill: Bill, deal: Deal) -> ExtrinsicReceipt:
        trade, key = self._orders, bill.key
        if why := trade.deals.get_abandon_reason(key):
            raise self._make_abandoned_error(key, why)
        placed, refusal = await trade.send_rent(key, deal)
        if placed is None:
            trade.deals.save_abandon_reason(
                key, f"the chain refused the order: {refusal or 'no reason given'}"
            )
            raise self._make_abandoned_error(key, trade.deals.get_abandon_reason(key))
        if not trade.sender.has_begun(f"{key}/confirm"):
            await self._check_machine_starts(bill, deal, placed)
        landed = await trade.send_confirm(key, deal, placed)
        if landed is None:
            await self._abandon_order(key, deal, placed, "the chain did not take the confirmation in time")
        return landed

    async def _check_machine_starts(self, bill: Bill, deal: Deal, placed: PlacedOrder) -> None:
        """Within the window the machine is tried for the fee alone: it must cost no more than billed, and come up."""
        spent = self._orders.ledger.sum_spent([bill.key])
        if spent + wire.to_money(placed.stake) > bill.amount:
            why = f"the chain set {wire.to_money(placed.stake)} aside, more than was billed"
            await self._abandon_order(bill.key, deal, placed, why)
        trouble = "the machine did not come up in time"
        while await self._orders.chain.get_block_number() <= placed.start + CONFIRM_WINDOW - CONFIRM_MARGIN:
            try:
                task = await self._node.create_task(deal, placed.order, bill.key)
                if (await self._node.get_task(deal.machine, placed.order, task)).running:
                    return
            except (UnavailableError, UnexpectedResponse) as error:
                trouble = error.message
            except LeaseError as error:
                await self._abandon_order(bill.key, deal, placed, error.message)
            await self._context.clock.sleep(2 * BLOCK_TIME)
        await self._abandon_order(bill.key, deal, placed, trouble)

    async def _abandon_order(self, key: str, deal: Deal, placed: PlacedOrder, reason: str) -> NoReturn:
        """Not confirmed: the rent comes back by itself when the window closes."""
        back = await self._orders.chain.estimate_block_time(placed.start + CONFIRM_WINDOW)
        self._orders.deals.save_abandon_reason(
            key, f"{reason}; not confirmed, so {wire.to_money(placed.stake)} come back by {back:%H:%M} UTC"
        )
        await self._node.delete_task(deal.machine, placed.order, key)
        raise self._make_abandoned_error(key, self._orders.deals.get_abandon_reason(key))

    def _make_abandoned_error(self, key: str, reason: str) -> MoneyError:
        spent = self._orders.ledger.sum_spent([key])
        return MoneyError(
            reason,
            hint=f"Spent: {spent} of fees, which do not come back.",
            spent=Spent.YES if spent.amount else Spent.NO,
        )

    # books

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        keys = [bill.key for bill in lease.bills]
        if lease.pending is not None:
            keys.append(lease.pending.key)
        return Known(tuple(self._orders.ledger.list_charges([*keys, lease.ref])))


def is_local_url(url: str) -> bool:
    """Whether ``url`` is on this computer, where nothing real is spent."""
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
