"""The JSON of the vast.ai API <-> the domain model. No I/O. Source: the published API documentation of 2026.

Prices are USD per hour, storage USD per GB and month, traffic USD per GB; memory is in MB, times are epoch seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from attrs import frozen

from gpurent.api import (
    Currency,
    DiskPrice,
    Endpoint,
    Hardware,
    HttpResponse,
    Metered,
    Offer,
    Spent,
    UnexpectedResponse,
    UnitPrice,
    UsageError,
    parse_foreign_decimal,
    parse_foreign_integer,
)
from gpurent_plugin_vast import _

# The service bills fractions of a cent.
USD = Currency("USD", 6)
USER = "root"
DISK_GB = 16
"""Of each machine; 8 is the least that the service sells."""
HOURS_OF_MONTH = 720  # assumed: the documentation gives no length of a month
BILLING_INCREMENT = timedelta(seconds=1)
_MB_IN_GIB = 1024
MAX_NAME_LENGTH = 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_SECONDS = 10**10  # the year 2286
SSH_PORT = "22/tcp"


@frozen(kw_only=True)
class VastReply:
    """An answer that is a JSON object. ``error`` is the service's own name of what went wrong; empty if nothing did."""

    status: int
    url: str
    body: Mapping[str, Any]

    @property
    def error(self) -> str:
        if self.status < 400 and self.body.get("success") is not False:
            return ""
        found = self.body.get("error")
        return found if isinstance(found, str) and found else f"http-{self.status}"

    @property
    def is_confirmed(self) -> bool:
        """Whether the service says that it did what was asked: an empty object says nothing."""
        return not self.error and self.body.get("success") is True

    @property
    def message(self) -> str:
        """What the service says to people; its error's name if it says nothing."""
        found = self.body.get("msg") or self.body.get("message")
        return found if isinstance(found, str) and found else self.error

    def make_unexpected_response(self, what: str, spent: Spent = Spent.NO) -> UnexpectedResponse:
        body = json.dumps(self.body, default=str, ensure_ascii=False)
        return UnexpectedResponse(
            _("unexpected response from vast.ai: {what}").format(what=what),
            url=self.url,
            body=body,
            spent=spent,
        )

    def get_rows(self, name: str) -> Sequence[Mapping[str, Any]]:
        rows = self.body.get(name)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self.make_unexpected_response(_("list expected"))
        return rows

    def get_number(self, row: Mapping[str, Any], name: str) -> Decimal:
        """Return a number that is not negative."""
        try:
            found = parse_foreign_decimal(row.get(name))
        except ValueError:
            raise self.make_unexpected_response(_("{name} is no number").format(name=name)) from None
        if found < 0 or found > 10**15:
            raise self.make_unexpected_response(_("{name} is out of range").format(name=name))
        return found

    def get_integer(self, row: Mapping[str, Any], name: str) -> int:
        try:
            return parse_foreign_integer(row.get(name))
        except ValueError:
            raise self.make_unexpected_response(_("{name} is no whole number").format(name=name)) from None

    def get_time(self, row: Mapping[str, Any], name: str) -> datetime | None:
        """Return a time given in seconds since 1970, cut to microseconds; None for null."""
        if row.get(name) is None:
            return None
        seconds = self.get_number(row, name)
        if seconds > _MAX_SECONDS:
            raise self.make_unexpected_response(_("{name} is out of range").format(name=name))
        return _EPOCH + timedelta(microseconds=int(seconds * 10**6))


@frozen(kw_only=True)
class Instance:
    """A machine of the account. ``status`` is what it is, null while nothing is known of it yet."""

    id: str
    label: str
    status: str
    note: str
    endpoint: Endpoint | None
    started_at: datetime | None
    offer: Offer


def parse_reply(answer: HttpResponse, spent: Spent = Spent.NO) -> VastReply:
    """Parse an answer. Raises `UnavailableError` for one that says nothing, `UnexpectedResponse` if it is no object."""
    answer.raise_if_unavailable("vast.ai", spent)
    path = answer.url.partition("?")[0]
    raw = answer.json()
    if not isinstance(raw, dict):
        raise UnexpectedResponse(
            _("unexpected response format from vast.ai"), url=path, body=answer.text, spent=spent
        )
    return VastReply(status=answer.status, url=path, body=raw)


def parse_offers(reply: VastReply) -> list[Offer]:
    return [_parse_offer(reply, row, str(reply.get_integer(row, "id"))) for row in reply.get_rows("offers")]


def _parse_offer(reply: VastReply, row: Mapping[str, Any], key: str) -> Offer:
    storage = reply.get_number(row, "storage_cost") / HOURS_OF_MONTH
    return Offer(
        key=key,
        provider="vast",
        hardware=_parse_hardware(reply, row),
        tariff=Metered(
            price=UnitPrice(reply.get_number(row, "dph_total"), USD), billing_increment=BILLING_INCREMENT
        ),
        disk=DiskPrice(free=DISK_GB, price=UnitPrice(storage, USD)),
        stopped_price=UnitPrice(storage * DISK_GB, USD),
        available=row.get("rentable") is not False and row.get("rented") is not True,
        location=_get_text(row, "geolocation"),
        score=_parse_reliability(reply, row),
    )


def _parse_hardware(reply: VastReply, row: Mapping[str, Any]) -> Hardware:
    return Hardware(
        gpu=_get_text(row, "gpu_name")[:MAX_NAME_LENGTH],
        gpus=reply.get_integer(row, "num_gpus"),
        gpu_memory=_to_gib(reply.get_number(row, "gpu_ram")),
        cpus=int(reply.get_number(row, "cpu_cores_effective")),
        memory=_to_gib(reply.get_number(row, "cpu_ram")),
        disk=int(reply.get_number(row, "disk_space")),
    )


def _parse_reliability(reply: VastReply, row: Mapping[str, Any]) -> str:
    if row.get("reliability2") is None:
        return ""
    return f"{(reply.get_number(row, 'reliability2') * 100).quantize(Decimal('0.1'))} %"


def _to_gib(megabytes: Decimal) -> int:
    """A card of 24 GiB is listed with 24,564 MB."""
    return int((megabytes + _MB_IN_GIB // 2) // _MB_IN_GIB)


def _get_text(row: Mapping[str, Any], name: str) -> str:
    found = row.get(name)
    return found if isinstance(found, str) else ""


def parse_instances(reply: VastReply) -> list[Instance]:
    """Parse one page of the account's machines."""
    return [parse_instance(reply, row) for row in reply.get_rows("instances")]


def parse_instance(reply: VastReply, row: Mapping[str, Any]) -> Instance:
    status = row.get("actual_status")
    if status is not None and not isinstance(status, str):
        raise reply.make_unexpected_response(_("{name} is no text").format(name="actual_status"))
    return Instance(
        id=str(reply.get_integer(row, "id")),
        label=_get_text(row, "label"),
        status=status or "",
        note=_get_text(row, "status_msg"),
        endpoint=_parse_endpoint(reply, row),
        started_at=reply.get_time(row, "start_date"),
        offer=_parse_offer(reply, row, str(row.get("machine_id") or "")),
    )


def _parse_endpoint(reply: VastReply, row: Mapping[str, Any]) -> Endpoint | None:
    """Return the machine's own address; None until the port of its SSH server is mapped."""
    ports, host = row.get("ports"), _get_text(row, "public_ipaddr").strip()
    mapped = ports.get(SSH_PORT) if isinstance(ports, dict) else None
    if not mapped or not host:
        return None
    try:
        return Endpoint(
            USER, f"[{host}]" if ":" in host else host, parse_foreign_integer(mapped[0]["HostPort"])
        )
    except (ValueError, UsageError, LookupError, TypeError):
        raise reply.make_unexpected_response(_("an address that cannot be one")) from None
