"""A DBC wallet. A payment is signed and noted before it is sent.

And sent again unchanged when nobody knows how it went.
"""

from __future__ import annotations

import json
from typing import Any

from gpurent.api import (
    USD,
    Answer,
    Balance,
    Bill,
    BillingProvider,
    Charge,
    ChargeKind,
    Currency,
    Host,
    Known,
    Lease,
    Money,
    MoneyError,
    Payment,
    ProviderChanged,
    Purpose,
    Rate,
    Spent,
    TopUp,
    UnavailableError,
    Unknown,
    Withdrawing,
)
from gpurent_plugin_dbc import wire
from gpurent_plugin_dbc.keys import check_address, public_of, sign

FIRST = wire.DBC.money(80_000)
LOCKED = wire.DBC.money(60_000)
BUY = "https://www.dbctrade.io/trade/buy_1?address_user="
_KIND = {
    Purpose.RENT: ChargeKind.USE,
    Purpose.DEPOSIT: ChargeKind.DEPOSIT,
    Purpose.RENEWAL: ChargeKind.RENEWAL,
    Purpose.FEE: ChargeKind.FEE,
}


class Wallet(BillingProvider, Withdrawing):
    """One address on the ledger."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def _get(self, path: str, **params: str) -> tuple[Any, str]:
        answer = await self._host.http.request("GET", path, params=params or None)
        return self._good(answer), answer.url

    def _good(self, answer: Answer) -> Any:
        if answer.status >= 500:
            raise UnavailableError(f"the ledger is in trouble (status {answer.status})", retryable=True)
        if answer.status != 200:
            raise ProviderChanged(
                f"the ledger answered {answer.status}", url=answer.url, body=answer.text, spent=Spent.NO
            )
        return answer.json()

    async def balance(self) -> Balance:
        login = await self._host.login()
        raw, url = await self._get("/balance", address=login.account)
        return Balance(available=wire.balance(raw, url), at=self._host.clock.now())

    async def rate(self, quote: Currency) -> Rate:
        if quote.code != "USD":
            raise MoneyError(f"DBC is priced in USD, not in {quote.code}")
        raw, url = await self._get("/price")
        value, at = wire.price(raw, url)
        return Rate(wire.DBC, quote, value, at, url.partition("?")[0])

    async def top_up(self, money: Money) -> TopUp:
        address = (await self._host.login()).account
        return TopUp(
            steps=(
                f"Open the purchase page; your address {address} is filled in.",
                f"Buy {money} and pay with Alipay; they arrive after some blocks.",
            ),
            url=BUY + address,
            qr=address,
            advice=f"First top-up: at least {FIRST}, of which {LOCKED} lie as the deposit of the CPU container.",
        )

    async def withdraw(self, money: Money) -> TopUp:
        return TopUp(
            steps=(f"Sell {money} on the trading page; send them only to the address that it shows.",),
            url="https://www.dbctrade.io/trade/sell_1",
            advice="The price floats; look at it before you sell.",
        )

    # paying

    async def pay(self, bill: Bill) -> Payment:
        if bill.amount.amount == 0:
            return Payment(key=bill.key, proof="", amount=bill.amount, at=self._host.clock.now())
        noted = self._host.notes.get(f"bill/{bill.key}")
        record: dict[str, str] = json.loads(noted) if noted else await self._sign(bill)
        self._must_be_same(bill, record)
        answer = await self._host.http.request(
            "POST", "/transfer", json={"body": record["body"], "signature": record["signature"]}
        )
        self._accepted(answer, bill, record["hash"])
        return Payment(key=bill.key, proof=record["hash"], amount=bill.amount, at=self._host.clock.now())

    async def _sign(self, bill: Bill) -> dict[str, str]:
        """The signed transfer, noted before anybody sees it.

        From here on this bill can only be paid by this transfer.
        """
        if bill.amount.currency != wire.DBC or bill.amount.amount < 0:
            raise MoneyError(f"this wallet cannot pay {bill.amount}")
        check_address(bill.payee)
        login = await self._host.login()
        available = (await self.balance()).available
        if bill.amount > available:
            raise MoneyError(
                f"the wallet has {available}, the bill is {bill.amount}",
                hint="Nothing was paid. gpurent topup shows how DBC get in.",
            )
        body = wire.body_of(
            sender=login.account,
            to=bill.payee,
            amount=bill.amount,
            key=bill.key,
            public=public_of(login.token),
        )
        record = {"body": body, "signature": sign(login.token, body), "hash": wire.hash_of(body)}
        self._host.notes.put(f"bill/{bill.key}", json.dumps(record))
        return record

    def _must_be_same(self, bill: Bill, record: dict[str, str]) -> None:
        body = json.loads(record["body"])
        if (body["to"], body["amount"]) != (bill.payee, str(bill.amount.amount)):
            raise MoneyError(
                f"the bill {bill.key} was signed before with another amount or payee",
                hint="Nothing more was paid.",
                spent=Spent.UNKNOWN,
            )

    def _accepted(self, answer: Answer, bill: Bill, digest: str) -> None:
        if answer.status >= 500:
            raise UnavailableError(
                f"the ledger is in trouble (status {answer.status})", retryable=True, spent=Spent.UNKNOWN
            )
        raw = answer.json()
        if answer.status == 200 and isinstance(raw, dict) and raw.get("hash") == digest:
            return
        error = raw.get("error") if isinstance(raw, dict) else None
        if error == "insufficient":
            raise MoneyError(f"the wallet has not enough for {bill.amount}", hint="Nothing was paid.")
        if error:
            raise MoneyError(f"the ledger refuses the transfer: {str(error)[:100]}", hint="Nothing was paid.")
        raise ProviderChanged(
            "the ledger answered a transfer in an unknown way", url=answer.url, body=answer.text
        )

    # books

    async def charges(self, lease: Lease) -> Known[Charge] | Unknown:
        login = await self._host.login()
        raw, url = await self._get("/transfers", address=login.account)
        listed = wire.transfers(raw, url)
        sent = {self._hash(bill): bill for bill in lease.bills}
        payees = {bill.payee for bill in lease.bills}
        found: list[Charge] = []
        for transfer in listed:
            if transfer.hash in sent:
                found.append(self._charge(transfer, _KIND[sent[transfer.hash].purpose]))
            elif transfer.to == login.account and transfer.sender in payees:
                back = ChargeKind.DEPOSIT_BACK if transfer.memo.startswith("deposit") else ChargeKind.REFUND
                found.append(self._charge(transfer, back))
        return Known(tuple(found))

    def _hash(self, bill: Bill) -> str:
        noted = self._host.notes.get(f"bill/{bill.key}")
        return str(json.loads(noted)["hash"]) if noted else ""

    def _charge(self, transfer: wire.Transfer, kind: ChargeKind) -> Charge:
        rate = (
            Rate(wire.DBC, USD, transfer.price, transfer.at, "ledger") if transfer.price is not None else None
        )
        return Charge(
            at=transfer.at, kind=kind, money=transfer.amount, ref=transfer.hash, note=transfer.memo, rate=rate
        )
