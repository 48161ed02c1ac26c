"""The web API of 2020 <-> the domain model. No I/O. Source: the public web client DBChainWebsite of March 2020.

Disk and memory in KiB, times in minutes, timestamps in milliseconds, prices in USD per hour, amounts in DBC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from attrs import evolve, frozen

from gpurent.api import (
    Currency,
    Deposit,
    DiskPrice,
    Hardware,
    HttpResponse,
    Money,
    Offer,
    Prepaid,
    Spent,
    UnexpectedResponse,
    UnitPrice,
    UsageError,
    parse_foreign_decimal,
    parse_foreign_name,
)
from gpurent_plugin_gpu1024 import _

DBC = Currency("DBC", 8)
# Prices of machines and disks have fractions of a cent.
DOLLAR = Currency("USD", 8)
KIB_IN_GIB = 1024 * 1024
MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_MILLIS = 10**13  # the year 2286
_MAX_MINUTES = 10**8  # 190 years
DONE, WORKING, FAILED = 1, 2, -1
# The default of the web client of 2020; the provider states its own price only in the order.
DISK_PRICE = DiskPrice(free=30, price=UnitPrice(Decimal("0.000033333334"), DOLLAR))
# The wiki gives 60000 as the deposit of a CPU container; the code below 1 that marks the payment is added to it.
USUAL_DEPOSIT = DBC.money(60_001)


@frozen(kw_only=True)
class ApiReply:
    status: int
    msg: str
    content: Any
    url: str

    def make_unexpected_response(self, what: str) -> UnexpectedResponse:
        body = json.dumps(self.content, default=str, ensure_ascii=False)
        return UnexpectedResponse(
            _("unexpected response from 1024GPU: {what}").format(what=what), url=self.url, body=body
        )

    def get_text(self) -> str:
        if not isinstance(self.content, str) or not self.content:
            raise self.make_unexpected_response(_("text expected"))
        return self.content

    def get_rows(self) -> Sequence[Mapping[str, Any]]:
        if not isinstance(self.content, list) or not all(isinstance(row, dict) for row in self.content):
            raise self.make_unexpected_response(_("list expected"))
        return self.content

    def get_record(self) -> Mapping[str, Any]:
        if not isinstance(self.content, dict):
            raise self.make_unexpected_response(_("object expected"))
        return self.content


def parse_reply(answer: HttpResponse, spent: Spent = Spent.NO) -> ApiReply:
    """Parse the envelope in ``answer``. Raises `UnavailableError` for a server error."""
    path = answer.url.partition("?")[0]
    answer.raise_if_unavailable("1024GPU", spent)
    if answer.status != 200:
        raise UnexpectedResponse(
            _("1024GPU returned HTTP {status}").format(status=answer.status),
            url=path,
            body=answer.text,
            spent=spent,
        )
    raw = answer.json()
    if not isinstance(raw, dict) or raw.get("status") not in (DONE, WORKING, FAILED):
        raise UnexpectedResponse(
            _("unexpected response format from 1024GPU"), url=path, body=answer.text, spent=spent
        )
    return ApiReply(
        status=raw["status"], msg=str(raw.get("msg") or "")[:300], content=raw.get("content"), url=path
    )


def parse_number(value: Any, source: ApiReply) -> Decimal:
    """Parse a number that is not negative, exactly; rejects booleans and text that is more than a number."""
    try:
        found = parse_foreign_decimal(value)
    except ValueError:
        raise source.make_unexpected_response(_("number expected")) from None
    if found < 0 or found > Decimal(10) ** 15:
        raise source.make_unexpected_response(_("a number out of range"))
    return found


def parse_money(value: Any, source: ApiReply) -> Money:
    try:
        return DBC.money(parse_number(value, source))
    except UsageError:
        raise source.make_unexpected_response(_("an amount with more decimal places than DBC has")) from None


def parse_time(value: Any, source: ApiReply) -> datetime | None:
    """Parse milliseconds since the epoch; 0 is None."""
    millis = int(parse_number(value if value is not None else 0, source))  # finer than that is not needed
    if millis > _MAX_MILLIS:
        raise source.make_unexpected_response(_("a time out of range"))
    return _EPOCH + timedelta(milliseconds=millis) if millis else None


def parse_count(value: Any, source: ApiReply) -> int:
    """Parse a whole number; a missing one is 0. A fraction is refused, not cut off."""
    found = parse_number(value if value is not None else 0, source)
    if found != found.to_integral_value():
        raise source.make_unexpected_response(_("whole number expected"))
    return int(found)


def parse_minutes(value: Any, source: ApiReply) -> int:
    """Parse a number of minutes that can be added to any time."""
    found = parse_count(value, source)
    if found > _MAX_MINUTES:
        raise source.make_unexpected_response(_("a time out of range"))
    return found


def parse_flag(value: Any, source: ApiReply) -> bool:
    """Parse yes or no; a missing one is no. Text that says no would otherwise be a yes."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, int) and value in (0, 1):
        return value == 1
    raise source.make_unexpected_response(_("yes or no expected"))


def parse_name(value: Any, what: str, source: ApiReply) -> str:
    """Parse the number of a machine or an order; ``what`` is said if it is none."""
    try:
        return parse_foreign_name(value)
    except ValueError:
        raise source.make_unexpected_response(what) from None


def parse_gib(value: Any, source: ApiReply) -> int:
    return parse_count(value, source) // KIB_IN_GIB


def parse_offers(source: ApiReply) -> Sequence[Offer]:
    """Parse the machines that are online."""
    return [
        _parse_offer(row, source) for row in source.get_rows() if row.get("online_status") in (1, True, None)
    ]


def _parse_offer(row: Mapping[str, Any], source: ApiReply) -> Offer:
    key = parse_name(row.get("machine_id"), _("a machine without a name"), source)
    if not isinstance(row.get("gpu_type"), str):
        raise source.make_unexpected_response(_("a machine without a name"))
    gpus, used = parse_count(row.get("gpu_count"), source), parse_count(row.get("gpu_be_used"), source)
    longest = parse_minutes(row.get("length_of_available_time"), source)
    return Offer(
        key=key,
        provider="1024gpu",
        hardware=Hardware(
            gpu=row["gpu_type"],
            gpus=max(gpus - used, 0) or gpus,
            gpu_memory=parse_gib(row.get("gpu_ram_size"), source),
            cpus=parse_count(row.get("cpu_numbers"), source),
            memory=parse_gib(row.get("ram_size"), source),
            disk=parse_gib(row.get("disk_space"), source),
        ),
        tariff=Prepaid(
            price=UnitPrice(parse_number(row.get("gpu_price_dollar"), source), DOLLAR),
            maximum=longest * MINUTE if longest else None,
        ),
        disk=evolve(DISK_PRICE, maximum=parse_gib(row.get("gpu_containers_can_use_disk"), source) or None),
        available=used < gpus,
        location=str(row.get("country", ""))[:40],
        score=str(row.get("evaluation_score_average", ""))[:8],
        provider_data={
            "cpu_container": "yes" if parse_flag(row.get("can_create_cpu_container"), source) else "no"
        },
    )


def make_cpu_offer(offer: Offer) -> Offer:
    """Return the offer of a CPU container on the same machine; it costs nothing while the deposit is held."""
    return Offer(
        key=offer.key,
        provider=offer.provider,
        hardware=Hardware(cpus=offer.hardware.cpus, memory=5, disk=30),
        tariff=Prepaid(price=UnitPrice(Decimal(0), DOLLAR)),
        deposit=Deposit(
            money=USUAL_DEPOSIT, returned_on=_("when the container is stopped or switched to its GPU")
        ),
        available=offer.available,
        location=offer.location,
        score=offer.score,
        provider_data=offer.provider_data,
    )


def make_unlisted_offer(machine: str, gpus: int) -> Offer:
    """Return what is known of a rented machine that is offline; its price is not."""
    return Offer(
        key=machine,
        provider="1024gpu",
        hardware=Hardware(gpus=gpus),
        tariff=Prepaid(price=UnitPrice.make_unknown(DOLLAR)),
        available=False,
        note=_("the price is not known"),
    )


@frozen(kw_only=True)
class ListedRenewal:
    """One renewal in the provider's list; ``bill`` is the amount to pay."""

    id: str
    bill: Money
    cancelled: bool
    pay_error: bool
    returned: bool


@frozen(kw_only=True)
class ListedOrder(ListedRenewal):
    """One order in the provider's lists, with the fields of a renewal; the states are derived as in the web client.

    ``used_minutes`` and ``remaining_minutes`` are minutes of its time; ``files_kept_for``: how much longer the files of
    a stopped container are kept. ``disk`` is the whole disk in GiB, ``previous`` the order whose container it has;
    ``refund``: what was paid, or deposited, and is not used.
    """

    machine: str
    gpus: int
    disk: int
    previous: str
    used_minutes: int
    remaining_minutes: int
    files_kept_for: timedelta | None
    rented_at: datetime | None
    created_at: datetime | None
    has_container: bool
    is_creating: bool
    rented: bool
    over: bool
    ended_normally: bool
    refund: Money

    @property
    def expires_at(self) -> datetime | None:
        return (
            self.rented_at + (self.used_minutes + self.remaining_minutes) * MINUTE if self.rented_at else None
        )

    @property
    def ended_at(self) -> datetime | None:
        return self.rented_at + self.used_minutes * MINUTE if self.rented_at and self.over else None


def parse_orders(source: ApiReply) -> Sequence[ListedOrder]:
    """Parse the rows of a list: the order is under ``orderData``, its machine beside it."""
    found = []
    for row in source.get_rows():
        order = row.get("orderData")
        if not isinstance(order, dict):
            raise source.make_unexpected_response(_("a row without an order"))
        found.append(_parse_order(order, source))
    return found


def _parse_order(row: Mapping[str, Any], source: ApiReply) -> ListedOrder:
    kept = parse_minutes(row.get("remaining_time_length"), source)
    bill, used = _parse_bill(row, source), parse_money(row.get("dbc_real_need_count", 0), source)
    gpus, previous = parse_count(row.get("gpu_count"), source), row.get("order_id_pre")
    # For a GPU, ``diskspace`` is only what was bought beyond the free part.
    giving = parse_count(row.get("diskspace_giving"), source) * gpus
    return ListedOrder(
        id=parse_name(row.get("order_id"), _("an order without a number"), source),
        machine=parse_name(row.get("machine_id"), _("an order without a number"), source),
        gpus=gpus,
        disk=(giving + parse_count(row.get("diskspace"), source)) // KIB_IN_GIB,
        previous=parse_name(previous, _("an order without a number"), source) if previous else "",
        bill=bill,
        refund=max(bill - used, DBC.zero),
        used_minutes=parse_minutes(row.get("real_rent_time"), source),
        remaining_minutes=parse_minutes(row.get("rest_time_rent"), source),
        files_kept_for=kept * MINUTE if kept else None,
        rented_at=parse_time(row.get("milli_rent_success_time"), source),
        created_at=parse_time(row.get("milli_create_order_time"), source),
        has_container=parse_flag(row.get("container_is_exist"), source),
        is_creating=parse_flag(row.get("creating_container"), source),
        rented=parse_flag(row.get("rent_success"), source),
        over=parse_flag(row.get("order_is_over"), source),
        ended_normally=parse_flag(row.get("order_isnormal_over"), source),
        cancelled=parse_flag(row.get("order_is_cancer"), source),
        pay_error=parse_flag(row.get("pay_error"), source),
        returned=parse_flag(row.get("return_dbc"), source),
    )


def _parse_bill(row: Mapping[str, Any], source: ApiReply) -> Money:
    """Return the exact amount to pay: the count plus the code, below 1, that marks the order on the chain."""
    code = parse_money(row.get("code", "0"), source)
    if code >= DBC.money(1):
        raise source.make_unexpected_response(_("an order code of 1 DBC or more"))
    return parse_money(row.get("dbc_total_count", 0), source) + code


def parse_renewals(source: ApiReply) -> Sequence[ListedRenewal]:
    return [_parse_renewal(row, source) for row in source.get_rows()]


def _parse_renewal(row: Mapping[str, Any], source: ApiReply) -> ListedRenewal:
    return ListedRenewal(
        id=parse_name(row.get("continue_pay_order_id"), _("a renewal without a number"), source),
        bill=_parse_bill(row, source),
        cancelled=parse_flag(row.get("order_is_cancer"), source),
        pay_error=parse_flag(row.get("pay_error"), source),
        returned=parse_flag(row.get("return_dbc"), source),
    )
