"""The web API of 2020 <-> the model. Pure. Source: the public web client DBChainWebsite of March 2020.

Disk and memory in KiB, times in minutes, timestamps in milliseconds, prices in USD an hour, amounts in DBC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from attrs import frozen

from gpurent.api import (
    Answer,
    Currency,
    Deposit,
    Hardware,
    Money,
    Offer,
    Prepaid,
    ProviderChanged,
    Spent,
    UnavailableError,
    UnitPrice,
    UsageError,
)

DBC = Currency("DBC", 8)
# Prices of machines and disks are finer than a cent.
DOLLAR = Currency("USD", 8)
KIB_IN_GIB = 1024 * 1024
MINUTE = timedelta(minutes=1)
DONE, WORKING, FAILED = 1, 2, -1
# The deposit of a CPU container by the wiki is 60000; the code that marks the payment, below 1, comes on top.
USUAL_DEPOSIT = DBC.money(60_001)


@frozen(kw_only=True)
class Reply:
    """The envelope of every answer."""

    status: int
    msg: str
    content: Any
    url: str

    def changed(self, what: str) -> ProviderChanged:
        body = json.dumps(self.content, default=str, ensure_ascii=False)
        return ProviderChanged(f"1024GPU's answer has changed: {what}", url=self.url, body=body)

    def text(self) -> str:
        if not isinstance(self.content, str) or not self.content:
            raise self.changed("no text")
        return self.content

    def amount(self) -> Money:
        return money(self.content, self)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        if not isinstance(self.content, list) or not all(isinstance(row, dict) for row in self.content):
            raise self.changed("no list")
        return self.content

    def record(self) -> Mapping[str, Any]:
        if not isinstance(self.content, dict):
            raise self.changed("no record")
        return self.content


def reply(answer: Answer, spent: Spent = Spent.NO) -> Reply:
    """The envelope in ``answer``; trouble of the server's is an `UnavailableError`, another shape `ProviderChanged`."""
    path = answer.url.partition("?")[0]
    if answer.status >= 500:
        raise UnavailableError(f"1024GPU is in trouble (status {answer.status})", retryable=True, spent=spent)
    if answer.status != 200:
        raise ProviderChanged(f"1024GPU answered {answer.status}", url=path, body=answer.text, spent=spent)
    raw = answer.json()
    if not isinstance(raw, dict) or raw.get("status") not in (DONE, WORKING, FAILED):
        raise ProviderChanged("1024GPU's envelope has changed", url=path, body=answer.text, spent=spent)
    return Reply(
        status=raw["status"], msg=str(raw.get("msg") or "")[:300], content=raw.get("content"), url=path
    )


def number(value: Any, source: Reply) -> Decimal:
    """A finite number that is not negative; booleans and texts other than numbers are refused."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise source.changed("no number")
    try:
        found = Decimal(value)
    except ArithmeticError:
        raise source.changed("no number") from None
    if not found.is_finite() or found < 0 or found > Decimal(10) ** 15:
        raise source.changed("a number out of range")
    return found


def money(value: Any, source: Reply) -> Money:
    try:
        return DBC.money(number(value, source))
    except UsageError:
        raise source.changed("an amount finer than DBC") from None


def moment(value: Any, source: Reply) -> datetime | None:
    """Milliseconds since the epoch; 0 is none."""
    millis = int(number(value if value is not None else 0, source))
    return datetime.fromtimestamp(millis / 1000, UTC) if millis else None


def gib(value: Any) -> int:
    return int(value) // KIB_IN_GIB if isinstance(value, int | Decimal) else 0


def offers(source: Reply) -> Sequence[Offer]:
    """The machines that are on line."""
    return [_offer(row, source) for row in source.rows() if row.get("online_status") in (1, True, None)]


def _offer(row: Mapping[str, Any], source: Reply) -> Offer:
    if not isinstance(row.get("machine_id"), str) or not isinstance(row.get("gpu_type"), str):
        raise source.changed("a machine without its name")
    count = int(number(row.get("gpu_count"), source))
    used = int(number(row.get("gpu_be_used", 0), source))
    longest = int(number(row.get("length_of_available_time", 0), source))
    return Offer(
        key=row["machine_id"],
        provider="1024gpu",
        hardware=Hardware(
            gpu=row["gpu_type"],
            gpus=max(count - used, 0) or count,
            gpu_memory=gib(row.get("gpu_ram_size", 0)),
            cpus=int(row.get("cpu_numbers") or 0),
            memory=gib(row.get("ram_size", 0)),
            disk=gib(row.get("disk_space", 0)),
        ),
        tariff=Prepaid(
            price=UnitPrice(number(row.get("gpu_price_dollar"), source), DOLLAR),
            maximum=longest * MINUTE if longest else None,
        ),
        free=used < count,
        place=str(row.get("country", ""))[:40],
        score=str(row.get("evaluation_score_average", ""))[:8],
        shop={"cpu": "yes" if row.get("can_create_cpu_container") else "no"},
    )


def cpu_offer(offer: Offer) -> Offer:
    """The CPU container on the same machine: free while the deposit lies there."""
    return Offer(
        key=offer.key,
        provider=offer.provider,
        hardware=Hardware(cpus=offer.hardware.cpus, memory=5, disk=30),
        tariff=Prepaid(price=UnitPrice(Decimal(0), DOLLAR)),
        deposit=Deposit(money=USUAL_DEPOSIT, returned_on="when it is stopped, or switched to its GPU"),
        free=offer.free,
        place=offer.place,
        score=offer.score,
        shop=offer.shop,
    )


@frozen(kw_only=True)
class Standing:
    """One order as the lists show it; see the derived states of the web client."""

    id: str
    before: str
    machine: str
    gpus: int
    code: Decimal
    total: Money
    minutes: int
    rented_at: datetime | None
    created_at: datetime | None
    stopped_at: datetime | None
    container: bool
    rented: bool
    over: bool
    ended_well: bool
    cancelled: bool
    pay_error: bool
    returned: bool

    @property
    def expires_at(self) -> datetime | None:
        return self.rented_at + self.minutes * MINUTE if self.rented_at else None

    @property
    def bill(self) -> Money:
        """What is sent: the count plus the code that identifies the order."""
        return self.total + DBC.money(self.code)


def standings(source: Reply) -> Sequence[Standing]:
    return [_standing(row, source) for row in source.rows()]


def _standing(row: Mapping[str, Any], source: Reply) -> Standing:
    if not isinstance(row.get("order_id"), str) or not isinstance(row.get("machine_id"), str):
        raise source.changed("an order without its number")
    return Standing(
        id=row["order_id"],
        before=str(row.get("order_id_pre") or ""),
        machine=row["machine_id"],
        gpus=int(number(row.get("gpu_count", 0), source)),
        code=number(row.get("code", "0"), source),
        total=money(row.get("dbc_total_count", 0), source),
        minutes=int(number(row.get("real_rent_time", 0), source)),
        rented_at=moment(row.get("milli_rent_success_time"), source),
        created_at=moment(row.get("milli_create_order_time"), source),
        stopped_at=moment(row.get("milli_stop_time"), source),
        container=bool(row.get("container_is_exist")),
        rented=bool(row.get("rent_success")),
        over=bool(row.get("order_is_over")),
        ended_well=bool(row.get("order_isnormal_over")),
        cancelled=bool(row.get("order_is_cancer")),
        pay_error=bool(row.get("pay_error")),
        returned=bool(row.get("return_dbc")),
    )
