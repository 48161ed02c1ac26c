"""An account on the chain. Only `pay_bill` orders: the rent, and once the machine runs, its confirmation."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import NoReturn

from gpurent.api import (
    Balance,
    Bill,
    BillingProvider,
    Charge,
    Currency,
    GpurentError,
    Known,
    Lease,
    LeaseError,
    Money,
    MoneyError,
    MoneyInstructions,
    Payment,
    PluginContext,
    Rate,
    SoldOut,
    Spent,
    UnavailableError,
    UnexpectedResponse,
    Unknown,
)
from gpurent_plugin_dbcchain import _, wire
from gpurent_plugin_dbcchain.chain_pins import check_identity, is_local_url, make_spending_error, may_spend
from gpurent_plugin_dbcchain.client_node import ClientNode
from gpurent_plugin_dbcchain.orders import ChainOrders
from gpurent_plugin_dbcchain.price import BLOCK_TIME, CONFIRM_WINDOW
from gpurent_plugin_dbcchain.purchases import PlacedOrder, Purchase
from gpurent_plugin_dbcchain.sender import ExtrinsicReceipt

# The confirmation must be in a block before the window closes, so it is sent at least this many blocks earlier.
CONFIRM_MARGIN = 15
PURCHASE_URL = "https://www.dbcwallet.io"


class ChainWallet(BillingProvider):
    """A wallet. ``Bill.key`` finds the deal that the provider saved, and in the same state what was done for it."""

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
        """Return the chain's own price, which rents are computed with; dated by its newest block."""
        if quote.code != "USD":
            raise MoneyError(_("the chain prices DBC in USD, not in {code}").format(code=quote.code))
        prices = await self._orders.chain.get_prices()
        return Rate(wire.DBC, quote, Decimal(prices.average) / 10**6, prices.at, "dbcPriceOcw.avgPrice")

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        me = await self._orders.get_address()
        return MoneyInstructions(
            steps=(
                _(
                    "Send {money} to {address} on the DeepBrain Chain (the Substrate address, not the 0x one)."
                ).format(money=money, address=me),
                _("It arrives after one or two blocks; check with: gpurent balance"),
            ),
            url=PURCHASE_URL,
            qr=me,
            advice=_("Each new order costs a fee on top of the rent, which is never refunded."),
        )

    # payments

    async def pay_bill(self, bill: Bill) -> Payment:
        if bill.amount.amount == 0:
            return Payment(key=bill.key, proof="", amount=bill.amount, at=self._context.clock.now())
        # Two processes that pay one bill at once would each sign an order, and the refusal of one would end the other.
        async with self._context.lock(f"pay-{bill.key}"):
            return await self._pay_once(bill)

    async def _pay_once(self, bill: Bill) -> Payment:
        deal = await self._orders.deals.find_deal(bill.key)
        if deal is None:
            raise MoneyError(_("there is no order for bill {key}").format(key=bill.key), spent=Spent.NO)
        if not await self._orders.sender.has_begun(f"{bill.key}/{deal.verb}"):
            try:
                await self._check_payable(bill, deal)
            except GpurentError as error:
                await self._orders.ledger.drop_hold(bill.key)
                error.spent = Spent.NO  # nothing has been sent yet
                raise
        try:
            landed = await (
                self._rent_and_confirm(bill, deal)
                if deal.verb == "rent"
                else self._orders.send_relet(bill.key, deal)
            )
        except (UnavailableError, UnexpectedResponse) as error:
            if await self._orders.sender.has_begun(f"{bill.key}/{deal.verb}"):
                error.spent = Spent.UNKNOWN
            raise
        await self._orders.ledger.drop_hold(bill.key)
        return Payment(
            key=bill.key,
            proof=landed.digest,
            amount=await self._orders.ledger.sum_spent([bill.key]),
            at=datetime.fromisoformat(landed.at),
        )

    async def _check_payable(self, bill: Bill, deal: Purchase) -> None:
        """Raise `MoneyError` if the bill is invalid, not allowed, or too low by now; nothing is signed then."""
        await self._check_spending_allowed(bill)
        # Asked again where it is signed; here nothing has begun yet.
        check_identity(await self._orders.chain.get_identity(), self._context.settings)
        if self._orders.second is not None:
            await self._orders.second.check_chain()
        if deal.verb == "rent":
            self._node.check_configured()
        cost = await self._orders.estimate_cost(deal)
        if wire.to_money(cost.minimum) > bill.amount:
            raise MoneyError(
                _("the price rose to {now}, above the bill's maximum of {amount}").format(
                    now=wire.to_money(cost.minimum), amount=bill.amount
                ),
                hint=_("Start again to get a new bill."),
                retryable=True,
            )
        available = (await self.get_balance()).available
        if bill.amount > available:
            raise MoneyError(
                _("the wallet holds {available}, but the bill is at most {amount}").format(
                    available=available, amount=bill.amount
                ),
                hint=_("To see how to add DBC: gpurent topup dbc-chain"),
            )

    async def _check_spending_allowed(self, bill: Bill) -> None:
        """Allow a real chain only with the user's consent and ceiling; a ceiling applies everywhere.

        The bill is held under the ceiling from then on.
        """
        settings = self._context.settings
        if bill.amount.currency != wire.DBC or bill.amount.amount < 0:
            raise MoneyError(_("this wallet cannot pay {amount}").format(amount=bill.amount))
        ceiling = settings.get("max_total_spending", "").strip()
        if not is_local_url(settings.get("url", "")) and not may_spend(settings):
            raise make_spending_error()
        if not ceiling:
            return
        most = wire.DBC.money(ceiling.removesuffix("DBC").strip())
        counted = await self._orders.ledger.hold_amount(bill.key, bill.amount.amount, most.amount)
        if counted is not None:
            raise MoneyError(
                _("{spent} spent so far; another {amount} would exceed the ceiling of {most}").format(
                    spent=wire.to_money(counted), amount=bill.amount, most=most
                ),
                hint=_("If the amount is right, raise [dbc-chain] max_total_spending."),
            )

    async def _rent_and_confirm(self, bill: Bill, deal: Purchase) -> ExtrinsicReceipt:
        trade, key = self._orders, bill.key
        if why := await trade.deals.get_abandon_reason(key):
            raise await self._make_abandoned_error(key, why)
        placed, refusal = await trade.send_rent(key, deal)
        if placed is None:
            if await trade.is_taken(key, deal):
                await trade.deals.save_sold_out(key)
            await trade.deals.save_abandon_reason(
                key, _("the chain rejected the order: {why}").format(why=refusal or _("no reason given"))
            )
            raise await self._make_abandoned_error(key, await trade.deals.get_abandon_reason(key))
        if not await trade.sender.has_begun(f"{key}/confirm"):
            await self._check_machine_starts(bill, deal, placed)
        landed = await trade.send_confirm(key, deal, placed)
        if landed is None:
            await self._abandon_order(
                key, deal, placed, _("the chain did not accept the confirmation in time")
            )
        return landed

    async def _check_machine_starts(self, bill: Bill, deal: Purchase, placed: PlacedOrder) -> None:
        """Test the machine within the window, for the fee alone: it must cost no more than billed, and start."""
        spent = await self._orders.ledger.sum_spent([bill.key])
        if spent + wire.to_money(placed.stake) > bill.amount:
            why = _("the chain holds {amount}, more than was billed").format(
                amount=wire.to_money(placed.stake)
            )
            await self._abandon_order(bill.key, deal, placed, why)
        trouble = _("the machine did not start in time")
        while await self._orders.chain.get_block_number() <= placed.start + CONFIRM_WINDOW - CONFIRM_MARGIN:
            try:
                task = await self._node.create_task(deal, placed.order, bill.key)
                if (await self._node.get_task(deal.machine, placed.order, task)).running:
                    if self._orders.second is not None:
                        await self._orders.second.check_stake(deal, placed)
                    return
            except (UnavailableError, UnexpectedResponse) as error:
                trouble = error.message
            except (LeaseError, MoneyError) as error:
                await self._abandon_order(bill.key, deal, placed, error.message)
            await self._context.clock.sleep(2 * BLOCK_TIME)
        await self._abandon_order(bill.key, deal, placed, trouble)

    async def _abandon_order(self, key: str, deal: Purchase, placed: PlacedOrder, reason: str) -> NoReturn:
        """Do not confirm the order: the rent is refunded automatically when the window closes."""
        back = await self._orders.chain.estimate_block_time(placed.start + CONFIRM_WINDOW)
        why = _("{reason}; not confirmed, so {amount} is returned by {time} UTC").format(
            reason=reason, amount=wire.to_money(placed.stake), time=f"{back:%H:%M}"
        )
        await self._orders.deals.save_abandon_reason(key, why)
        await self._node.delete_task(deal.machine, placed.order, key)
        raise await self._make_abandoned_error(key, await self._orders.deals.get_abandon_reason(key))

    async def _make_abandoned_error(self, key: str, reason: str) -> GpurentError:
        await self._orders.ledger.drop_hold(key)
        spent = await self._orders.ledger.sum_spent([key])
        kind = SoldOut if await self._orders.deals.is_sold_out(key) else MoneyError
        return kind(
            reason,
            hint=_("Spent: {spent} in fees, which are not refunded.").format(spent=spent),
            spent=Spent.YES if spent.amount else Spent.NO,
        )

    # charges

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        keys = [bill.key for bill in lease.bills]
        if lease.pending is not None:
            keys.append(lease.pending.key)
        return Known(tuple(await self._orders.ledger.list_charges([*keys, lease.ref])))
