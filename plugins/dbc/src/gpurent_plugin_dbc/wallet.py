"""A DBC wallet. A payment is signed and saved before it is sent.

If its outcome is unknown, it is sent again unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gpurent.api import (
    Balance,
    Bill,
    BillingProvider,
    Charge,
    ChargeKind,
    Currency,
    GpurentError,
    HttpResponse,
    Known,
    Lease,
    Money,
    MoneyError,
    MoneyInstructions,
    Payment,
    PaymentPurpose,
    PluginContext,
    Rate,
    Spent,
    SupportsStatement,
    SupportsWithdrawal,
    TopUpAdvice,
    UnavailableError,
    UnexpectedResponse,
    Unknown,
    UsageError,
)
from gpurent_plugin_dbc import wire
from gpurent_plugin_dbc.charges import classify_incoming, classify_outgoing, classify_refund, make_charge
from gpurent_plugin_dbc.keys import check_address, derive_public_key, sign
from gpurent_plugin_dbc.messages import _

FIRST_TOP_UP = wire.DBC.money(80_000)
CPU_DEPOSIT = wire.DBC.money(60_000)
BUY_URL = "https://www.dbctrade.io/trade/buy_1?address_user="
SELL_URL = "https://www.dbctrade.io/trade/sell_1"
_CHARGE_KINDS = {
    PaymentPurpose.RENT: ChargeKind.USAGE,
    PaymentPurpose.DEPOSIT: ChargeKind.DEPOSIT,
    PaymentPurpose.RENEWAL: ChargeKind.RENEWAL,
    PaymentPurpose.FEE: ChargeKind.FEE,
}


class DbcWallet(BillingProvider, SupportsStatement, SupportsWithdrawal):
    """The wallet of one address on the ledger."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def _request(self, method: str, path: str, **given: Any) -> HttpResponse:
        if not self._context.settings.get("url"):
            raise UsageError(
                _("no DBC token ledger is configured: the NEO chain that DBC used in 2020 is gone"),
                hint=_("`gpurent sandbox` includes a ledger; to use another one, set [dbc] url."),
            )
        return await self._context.http.request(method, path, **given)

    async def _get_json(self, path: str, **params: str) -> tuple[Any, str]:
        answer = await self._request("GET", path, params=params or None)
        answer.raise_if_unavailable(_("the DBC token ledger"))
        if answer.status != 200:
            raise UnexpectedResponse(
                _("the DBC token ledger returned HTTP {status}").format(status=answer.status),
                url=answer.url,
                body=answer.text,
                spent=Spent.NO,
            )
        return answer.json(), answer.url

    async def get_balance(self) -> Balance:
        login = await self._context.get_login()
        raw, url = await self._get_json("/balance", address=login.account)
        return Balance(available=wire.parse_balance(raw, url), at=self._context.clock.now())

    async def get_rate(self, quote: Currency) -> Rate:
        if quote.code != "USD":
            raise MoneyError(_("DBC is priced in USD, not in {code}").format(code=quote.code))
        raw, url = await self._get_json("/price")
        value, at = wire.parse_price(raw, url)
        return Rate(wire.DBC, quote, value, at, url.partition("?")[0])

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        address = (await self._context.get_login()).account
        return MoneyInstructions(
            steps=(
                _("Open the purchase page; your address {address} is already filled in.").format(
                    address=address
                ),
                _("Buy {money} and pay with Alipay; it arrives after a few blocks.").format(money=money),
            ),
            url=BUY_URL + address,
            qr=address,
            advice=_(
                "First top-up: at least {first}, of which {locked} is held as the deposit for the CPU"
                " container."
            ).format(first=FIRST_TOP_UP, locked=CPU_DEPOSIT),
        )

    async def suggest_top_up(self) -> TopUpAdvice | None:
        """Suggest what is missing to the first top-up that the wiki recommends."""
        there = (await self.get_balance()).available
        if there >= FIRST_TOP_UP:
            return None
        return TopUpAdvice(
            money=FIRST_TOP_UP - there,
            reason=_(
                "{first} is recommended: {locked} is held as the deposit while you upload on the CPU "
                "container, and is returned afterwards; {rest} pays for GPU time. The wallet holds "
                "{there}."
            ).format(first=FIRST_TOP_UP, locked=CPU_DEPOSIT, rest=FIRST_TOP_UP - CPU_DEPOSIT, there=there),
        )

    async def withdraw(self, money: Money) -> MoneyInstructions:
        there = (await self.get_balance()).available
        if money.amount <= 0 or money > there:
            raise MoneyError(
                _("the wallet can sell {there}, not {money}").format(there=there, money=money)
                if there.amount > 0
                else _("the wallet is empty")
            )
        return MoneyInstructions(
            steps=(
                _(
                    "Open the trading page and offer {money} for sale; it shows the price before you agree."
                ).format(money=money),
                _("Import your private key into a wallet of your own: gpurent whoami --show-key 1024gpu"),
                _("Send exactly {money} to the address that the page shows, and to no other address.").format(
                    money=money
                ),
                _("The page pays you by Alipay once the transfer is confirmed."),
            ),
            url=SELL_URL,
            advice=_("The price fluctuates; DBC held as a deposit can only be sold after it is returned."),
        )

    # payments

    async def pay_bill(self, bill: Bill) -> Payment:
        """Pay a bill with one transfer: its hash follows from the bill, so the ledger counts it only once."""
        if bill.amount.amount == 0:
            return Payment(key=bill.key, proof="", amount=bill.amount, at=self._context.clock.now())
        noted = await self._context.state.get(f"bill/{bill.key}")
        if noted is None and (paid := await self._find_earlier_payment(bill)) is not None:
            return Payment(key=bill.key, proof=paid.hash, amount=bill.amount, at=paid.at)
        if noted is None:
            try:
                record = await self._sign_transfer(bill)
            except GpurentError as error:
                error.spent = Spent.NO  # nothing has been sent yet
                raise
        else:
            record = json.loads(noted)
            self._check_same_bill(bill, record)
        if noted is None or not await self._has_transfer(record["hash"]):
            answer = await self._request(
                "POST", "/transfer", json={"body": record["body"], "signature": record["signature"]}
            )
            self._check_accepted(answer, bill, record["hash"])
        at = datetime.fromisoformat(record["at"])
        return Payment(key=bill.key, proof=record["hash"], amount=bill.amount, at=at)

    async def _find_earlier_payment(self, bill: Bill) -> wire.ListedTransfer | None:
        """Return the payment of a bill that is known by its amount, if it was not made by this journal."""
        if not bill.amount_is_unique:
            return None
        raw, url = await self._get_json("/transfers", address=(await self._context.get_login()).account)
        listed = wire.parse_transfers(raw, url)
        return next((one for one in listed if (one.to, one.amount) == (bill.payee, bill.amount)), None)

    async def _has_transfer(self, digest: str) -> bool:
        """Return whether the ledger has the transfer of an earlier try."""
        try:
            answer = await self._request("GET", f"/tx/{digest}")
        except UnavailableError as error:
            error.spent = Spent.UNKNOWN
            raise
        answer.raise_if_unavailable(_("the DBC token ledger"), Spent.UNKNOWN)
        raw = answer.json()
        if isinstance(raw, dict) and (raw.get("hash") == digest or raw.get("error") == "unknown"):
            return "hash" in raw
        raise UnexpectedResponse(
            _("unexpected response from the DBC token ledger"), url=answer.url, body=answer.text
        )

    def _check_payable(self, bill: Bill) -> None:
        """Raise `MoneyError` for a bill that is invalid in itself; nothing is signed for it."""
        if bill.amount.currency != wire.DBC or bill.amount.amount < 0:
            raise MoneyError(_("this wallet cannot pay {amount}").format(amount=bill.amount))
        most = wire.DBC.money(self._context.settings["max_payment"].strip().removesuffix("DBC"))
        if bill.amount > most:
            raise MoneyError(
                _("the bill of {amount} exceeds the wallet's limit of {most}").format(
                    amount=bill.amount, most=most
                ),
                hint=_("If the amount is right, raise [dbc] max_payment."),
            )
        try:
            check_address(bill.payee)
        except UsageError as error:
            raise MoneyError(
                _("the provider gave an address that cannot be paid: {why}").format(why=error.message),
                hint=error.hint,
            ) from None

    async def _sign_transfer(self, bill: Bill) -> dict[str, str]:
        """Sign the transfer and save it before it is sent.

        From then on only this transfer can pay the bill.
        """
        self._check_payable(bill)
        login = await self._context.get_login()
        available = (await self.get_balance()).available
        if bill.amount > available:
            raise MoneyError(
                _("the wallet holds {there}, but the bill is {amount}").format(
                    there=available, amount=bill.amount
                ),
                hint=_("To see how to add DBC: gpurent topup 1024gpu"),
            )
        body = wire.make_transfer_body(
            sender=login.account,
            to=bill.payee,
            amount=bill.amount,
            bill_key=bill.key,
            public_key=derive_public_key(login.token),
        )
        record = {
            "body": body,
            "signature": sign(login.token, body),
            "hash": wire.hash_body(body),
            "at": self._context.clock.now().isoformat(),
        }
        await self._context.state.put(f"bill/{bill.key}", json.dumps(record))
        return record

    def _check_same_bill(self, bill: Bill, record: dict[str, str]) -> None:
        body = json.loads(record["body"])
        if (body["to"], body["amount"]) != (bill.payee, str(bill.amount.amount)):
            raise MoneyError(
                _("bill {key} was already signed with a different amount or payee").format(key=bill.key),
                hint=_("Nothing more was paid."),
                spent=Spent.UNKNOWN,
            )

    def _check_accepted(self, answer: HttpResponse, bill: Bill, digest: str) -> None:
        answer.raise_if_unavailable(_("the DBC token ledger"), Spent.UNKNOWN)
        raw = answer.json()
        if answer.status == 200 and isinstance(raw, dict) and raw.get("hash") == digest:
            return
        error = raw.get("error") if isinstance(raw, dict) else None
        if error == "insufficient":
            raise MoneyError(
                _("the wallet does not hold enough to pay {amount}").format(amount=bill.amount),
                spent=Spent.NO,
            )
        if error == "key used":
            raise MoneyError(
                _("the DBC token ledger has a different payment for bill {key}").format(key=bill.key),
                hint=_("Nothing more was paid. Check the transfers of your address."),
                spent=Spent.UNKNOWN,
            )
        if error:
            raise MoneyError(
                _("the DBC token ledger rejected the transfer: {error}").format(error=str(error)[:100]),
            )
        raise UnexpectedResponse(
            _("unexpected response from the DBC token ledger to a transfer"), url=answer.url, body=answer.text
        )

    # charges

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        login = await self._context.get_login()
        raw, url = await self._get_json("/transfers", address=login.account)
        listed = wire.parse_transfers(raw, url)
        sent = await self._match_bills(lease, listed)
        payees = {bill.payee for bill in lease.bills}
        deposits = {bill.amount for bill in lease.bills if bill.purpose is PaymentPurpose.DEPOSIT}
        found: list[Charge] = []
        for transfer in listed:
            if transfer.hash in sent:
                found.append(make_charge(transfer, _CHARGE_KINDS[sent[transfer.hash].purpose]))
            elif transfer.to == login.account and transfer.sender in payees:
                found.append(make_charge(transfer, classify_refund(transfer, deposits)))
        return Known(tuple(found))

    async def get_statement(self) -> Known[Charge] | Unknown:
        own = (await self._context.get_login()).account
        raw, url = await self._get_json("/transfers", address=own)
        listed = wire.parse_transfers(raw, url)
        incoming = {
            transfer.hash: classify_incoming(transfer) for transfer in listed if transfer.sender != own
        }
        returned = [
            (transfer.sender, incoming[transfer.hash]) for transfer in listed if transfer.sender != own
        ]
        return Known(
            tuple(
                make_charge(transfer, incoming.get(transfer.hash) or classify_outgoing(transfer, returned))
                for transfer in listed
            )
        )

    async def _match_bills(self, lease: Lease, listed: Sequence[wire.ListedTransfer]) -> dict[str, Bill]:
        """Return the bills by the hash of the transfer that paid them: as saved, else by payee and exact amount."""
        found: dict[str, Bill] = {}
        for bill in lease.bills:
            noted = await self._context.state.get(f"bill/{bill.key}")
            if noted:
                found[json.loads(noted)["hash"]] = bill
                continue
            for transfer in listed:
                if (transfer.to, transfer.amount) == (bill.payee, bill.amount) and transfer.hash not in found:
                    found[transfer.hash] = bill
                    break
        return found
