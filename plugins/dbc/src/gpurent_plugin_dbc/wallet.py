"""A DBC wallet. A payment is signed and noted before it is sent.

And sent again unchanged when nobody knows how it went.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gpurent.api import (
    USD,
    Balance,
    Bill,
    BillingProvider,
    Charge,
    ChargeKind,
    Currency,
    HttpResponse,
    Known,
    Lease,
    Money,
    MoneyError,
    Payment,
    PaymentPurpose,
    PluginContext,
    Rate,
    Spent,
    SupportsStatement,
    SupportsWithdrawal,
    TopUp,
    TopUpAdvice,
    UnavailableError,
    UnexpectedResponse,
    Unknown,
    UsageError,
)
from gpurent_plugin_dbc import wire
from gpurent_plugin_dbc.keys import check_address, derive_public_key, sign
from gpurent_plugin_dbc.messages import _

FIRST_TOP_UP = wire.DBC.money(80_000)
CPU_DEPOSIT = wire.DBC.money(60_000)
BUY_URL = "https://www.dbctrade.io/trade/buy_1?address_user="
SELL_URL = "https://www.dbctrade.io/trade/sell_1"
_CHARGE_KINDS = {
    PaymentPurpose.RENT: ChargeKind.USE,
    PaymentPurpose.DEPOSIT: ChargeKind.DEPOSIT,
    PaymentPurpose.RENEWAL: ChargeKind.RENEWAL,
    PaymentPurpose.FEE: ChargeKind.FEE,
}


class DbcWallet(BillingProvider, SupportsStatement, SupportsWithdrawal):
    """One address on the ledger."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def _request(self, method: str, path: str, **given: Any) -> HttpResponse:
        if not self._context.settings.get("url"):
            raise UsageError(
                _("no DBC ledger is set up: the NEO chain on which DBC lived in 2020 is gone"),
                hint=_("`gpurent sandbox` brings a ledger of its own; another one is set as [dbc] url."),
            )
        return await self._context.http.request(method, path, **given)

    async def _get_json(self, path: str, **params: str) -> tuple[Any, str]:
        answer = await self._request("GET", path, params=params or None)
        if answer.status >= 500:
            raise UnavailableError(
                _("the ledger is in trouble (status {status})").format(status=answer.status), retryable=True
            )
        if answer.status != 200:
            raise UnexpectedResponse(
                _("the ledger answered {status}").format(status=answer.status),
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

    async def create_top_up(self, money: Money) -> TopUp:
        address = (await self._context.get_login()).account
        return TopUp(
            steps=(
                _("Open the purchase page; your address {address} is filled in.").format(address=address),
                _("Buy {money} and pay with Alipay; they arrive after some blocks.").format(money=money),
            ),
            url=BUY_URL + address,
            qr=address,
            advice=_(
                "First top-up: at least {first}, of which {locked} lie as the deposit of the CPU container."
            ).format(first=FIRST_TOP_UP, locked=CPU_DEPOSIT),
        )

    async def suggest_top_up(self) -> TopUpAdvice | None:
        """What is missing to the first top-up that the wiki advises."""
        there = (await self.get_balance()).available
        if there >= FIRST_TOP_UP:
            return None
        return TopUpAdvice(
            money=FIRST_TOP_UP - there,
            why=_(
                "{first} are advised: {locked} lie as the deposit while you upload on the CPU container, and come "
                "back; {rest} pay for GPU time. The wallet has {there}."
            ).format(first=FIRST_TOP_UP, locked=CPU_DEPOSIT, rest=FIRST_TOP_UP - CPU_DEPOSIT, there=there),
        )

    async def withdraw(self, money: Money) -> TopUp:
        there = (await self.get_balance()).available
        if money.amount <= 0 or money > there:
            raise MoneyError(
                _("the wallet has {there} to sell, not {money}").format(there=there, money=money),
                hint=_("Nothing was sent."),
            )
        return TopUp(
            steps=(
                _(
                    "Open the trading page and offer {money} for sale; it names the price before you agree."
                ).format(money=money),
                _("Take your private key to a wallet of your own: gpurent whoami --show-key"),
                _("Send exactly {money} to the address that the page shows, and to no other.").format(
                    money=money
                ),
                _("The page pays you out by Alipay once the transfer has its blocks."),
            ),
            url=SELL_URL,
            advice=_("The price floats; what lies as a deposit can only be sold after it came back."),
        )

    # paying

    async def pay_bill(self, bill: Bill) -> Payment:
        """One bill, one transfer: its hash follows from the bill, so the ledger counts it once."""
        if bill.amount.amount == 0:
            return Payment(key=bill.key, proof="", amount=bill.amount, at=self._context.clock.now())
        noted = self._context.state.get(f"bill/{bill.key}")
        if noted is None:
            record = await self._sign_transfer(bill)
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

    async def _has_transfer(self, digest: str) -> bool:
        """Whether the ledger has the transfer of an earlier try."""
        try:
            answer = await self._request("GET", f"/tx/{digest}")
        except UnavailableError as error:
            error.spent = Spent.UNKNOWN
            raise
        if answer.status >= 500:
            raise self._make_unavailable_error(answer)
        raw = answer.json()
        if isinstance(raw, dict) and (raw.get("hash") == digest or raw.get("error") == "unknown"):
            return "hash" in raw
        raise UnexpectedResponse(_("the ledger answered in an unknown way"), url=answer.url, body=answer.text)

    def _make_unavailable_error(self, answer: HttpResponse) -> UnavailableError:
        return UnavailableError(
            _("the ledger is in trouble (status {status})").format(status=answer.status),
            retryable=True,
            spent=Spent.UNKNOWN,
        )

    def _check_payable(self, bill: Bill) -> None:
        """Nothing is signed for a bill that is odd in itself."""
        if bill.amount.currency != wire.DBC or bill.amount.amount < 0:
            raise MoneyError(
                _("this wallet cannot pay {amount}").format(amount=bill.amount), hint=_("Nothing was paid.")
            )
        most = wire.DBC.money(self._context.settings["most"])
        if bill.amount > most:
            raise MoneyError(
                _("the bill of {amount} is above the wallet's own limit of {most}").format(
                    amount=bill.amount, most=most
                ),
                hint=_("Nothing was paid. If it is right, raise [dbc] most."),
            )
        try:
            check_address(bill.payee)
        except UsageError as error:
            raise MoneyError(
                _("the shop names no address that can be paid: {why}").format(why=error.message),
                hint=error.hint,
            ) from None

    async def _sign_transfer(self, bill: Bill) -> dict[str, str]:
        """The signed transfer, noted before anybody sees it.

        From here on this bill can only be paid by this transfer.
        """
        self._check_payable(bill)
        login = await self._context.get_login()
        available = (await self.get_balance()).available
        if bill.amount > available:
            raise MoneyError(
                _("the wallet has {there}, the bill is {amount}").format(there=available, amount=bill.amount),
                hint=_("Nothing was paid. gpurent topup shows how DBC get in."),
            )
        body = wire.make_transfer_body(
            sender=login.account,
            to=bill.payee,
            amount=bill.amount,
            key=bill.key,
            public=derive_public_key(login.token),
        )
        record = {
            "body": body,
            "signature": sign(login.token, body),
            "hash": wire.hash_body(body),
            "at": self._context.clock.now().isoformat(),
        }
        self._context.state.put(f"bill/{bill.key}", json.dumps(record))
        return record

    def _check_same_bill(self, bill: Bill, record: dict[str, str]) -> None:
        body = json.loads(record["body"])
        if (body["to"], body["amount"]) != (bill.payee, str(bill.amount.amount)):
            raise MoneyError(
                _("the bill {key} was signed before with another amount or payee").format(key=bill.key),
                hint=_("Nothing more was paid."),
                spent=Spent.UNKNOWN,
            )

    def _check_accepted(self, answer: HttpResponse, bill: Bill, digest: str) -> None:
        if answer.status >= 500:
            raise self._make_unavailable_error(answer)
        raw = answer.json()
        if answer.status == 200 and isinstance(raw, dict) and raw.get("hash") == digest:
            return
        error = raw.get("error") if isinstance(raw, dict) else None
        if error == "insufficient":
            raise MoneyError(
                _("the wallet has not enough for {amount}").format(amount=bill.amount),
                hint=_("Nothing was paid."),
            )
        if error == "key used":
            raise MoneyError(
                _("the ledger has another payment for the bill {key}").format(key=bill.key),
                hint=_("Nothing more was paid. Look at the transfers of your address."),
                spent=Spent.UNKNOWN,
            )
        if error:
            raise MoneyError(
                _("the ledger refuses the transfer: {error}").format(error=str(error)[:100]),
                hint=_("Nothing was paid."),
            )
        raise UnexpectedResponse(
            _("the ledger answered a transfer in an unknown way"), url=answer.url, body=answer.text
        )

    # books

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        login = await self._context.get_login()
        raw, url = await self._get_json("/transfers", address=login.account)
        listed = wire.parse_transfers(raw, url)
        sent = self._match_bills(lease, listed)
        payees = {bill.payee for bill in lease.bills}
        deposits = {bill.amount for bill in lease.bills if bill.purpose is PaymentPurpose.DEPOSIT}
        found: list[Charge] = []
        for transfer in listed:
            if transfer.hash in sent:
                found.append(_make_charge(transfer, _CHARGE_KINDS[sent[transfer.hash].purpose]))
            elif transfer.to == login.account and transfer.sender in payees:
                found.append(_make_charge(transfer, _classify_refund(transfer, deposits)))
        return Known(tuple(found))

    async def get_statement(self) -> Known[Charge] | Unknown:
        own = (await self._context.get_login()).account
        raw, url = await self._get_json("/transfers", address=own)
        return Known(
            tuple(
                _make_charge(
                    transfer, ChargeKind.TRANSFER if transfer.sender == own else _classify_incoming(transfer)
                )
                for transfer in wire.parse_transfers(raw, url)
            )
        )

    def _match_bills(self, lease: Lease, listed: Sequence[wire.ListedTransfer]) -> dict[str, Bill]:
        """The bills by the hash of the transfer that paid them: as noted, else by payee and exact amount."""
        found: dict[str, Bill] = {}
        for bill in lease.bills:
            noted = self._context.state.get(f"bill/{bill.key}")
            if noted:
                found[json.loads(noted)["hash"]] = bill
                continue
            for transfer in listed:
                if (transfer.to, transfer.amount) == (bill.payee, bill.amount) and transfer.hash not in found:
                    found[transfer.hash] = bill
                    break
        return found


def _classify_refund(transfer: wire.ListedTransfer, deposits: set[Money]) -> ChargeKind:
    """The ledger's memo says it; without one, a deposit comes back to the last unit."""
    deposit = transfer.memo.startswith("deposit") or (not transfer.memo and transfer.amount in deposits)
    return ChargeKind.DEPOSIT_RETURN if deposit else ChargeKind.REFUND


def _classify_incoming(transfer: wire.ListedTransfer) -> ChargeKind:
    """Money that came in: a shop's memo says what it sends back, anything else is the user's own."""
    if transfer.sender and transfer.memo.startswith("deposit"):
        return ChargeKind.DEPOSIT_RETURN
    if transfer.sender and transfer.memo.startswith("refund"):
        return ChargeKind.REFUND
    return ChargeKind.TOP_UP


def _make_charge(transfer: wire.ListedTransfer, kind: ChargeKind) -> Charge:
    rate = None
    if transfer.price is not None and transfer.price.is_finite() and transfer.price > 0:
        rate = Rate(wire.DBC, USD, transfer.price, transfer.at, "ledger")
    return Charge(
        at=transfer.at, kind=kind, money=transfer.amount, ref=transfer.hash, note=transfer.memo, rate=rate
    )
