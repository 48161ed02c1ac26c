"""The account's charges and invoices as vast.ai lists them, page by page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

from gpurent.api import Charge, ChargeKind, Money
from gpurent_plugin_vast import _, wire

PAGE_SIZE = 500
CHARGE_TYPES = ("gpu", "disk", "bwd", "bwu")
# Money that came in or went back, by the invoice's type; the rest is what charges tell in detail.
INCOMING = {"credit": ChargeKind.TOP_UP, "transfer": ChargeKind.TRANSFER, "refund": ChargeKind.REFUND}


@frozen
class ChargeReader:
    """Reads charges and invoices from ``since`` (seconds since 1970) to ``until``, all pages of them."""

    client: wire.VastApi

    async def list_usage(self, since: int, until: int) -> Sequence[tuple[str, Charge]]:
        """Return each charge with the id of its machine, oldest first."""
        selected = {"day": {"gte": since, "lte": until}, "type": {"in": ["instance"]}}
        rows = await self._read_pages("/api/v0/charges/", selected)
        found = [(_parse_source(reply, row), _parse_usage(reply, row)) for reply, row in rows]
        return sorted(found, key=lambda pair: pair[1].at)

    async def list_invoices(self, since: int, until: int) -> Sequence[Charge]:
        """Return the money that came in or went back, oldest first."""
        selected = {"when": {"gte": since, "lte": until}}
        rows = await self._read_pages("/api/v1/invoices/", selected)
        found = [_parse_invoice(reply, row) for reply, row in rows if row.get("type") in INCOMING]
        return sorted(found, key=lambda charge: charge.at)

    async def _read_pages(
        self, path: str, selected: Mapping[str, object]
    ) -> Sequence[tuple[wire.VastReply, Mapping[str, Any]]]:
        params = {"select_filters": json.dumps(selected), "limit": str(PAGE_SIZE), "format": "table"}
        pages = self.client.read_pages(path, params, **wire.PAGES)
        return [(page, row) async for page in pages for row in page.get_rows("results")]


def _parse_source(reply: wire.VastReply, row: Mapping[str, Any]) -> str:
    return reply.get_text(row, "source").removeprefix("instance-")


def _parse_usage(reply: wire.VastReply, row: Mapping[str, Any]) -> Charge:
    started, ended = reply.get_time(row, "start"), reply.get_time(row, "end")
    if started is None:
        raise reply.make_unexpected_response(_("a charge without its time"))
    parts = row.get("items") if isinstance(row.get("items"), list) else []
    kinds = sorted({str(part.get("type")) for part in parts or [] if isinstance(part, dict)})
    return Charge(
        at=ended or started,
        kind=ChargeKind.USAGE,
        money=_parse_size(reply, row),
        ref=f"{row.get('source')}@{started:%Y-%m-%dT%H:%M:%SZ}",
        note=", ".join(kind for kind in kinds if kind in CHARGE_TYPES),
    )


def _parse_invoice(reply: wire.VastReply, row: Mapping[str, Any]) -> Charge:
    at, facts = reply.get_time(row, "start"), row.get("metadata")
    number = facts.get("invoice_id") if isinstance(facts, dict) else None
    if at is None or not isinstance(number, (int, str)):
        raise reply.make_unexpected_response(_("a payment without its time or number"))
    return Charge(
        at=at,
        kind=INCOMING[str(row.get("type"))],
        money=_parse_size(reply, row),
        ref=f"invoice-{number}",
    )


def _parse_size(reply: wire.VastReply, row: Mapping[str, Any]) -> Money:
    """Return the row's amount without its sign: its kind tells the direction."""
    found = reply.get_money(row, "amount", wire.USD)
    return -found if found.amount < 0 else found


def to_seconds(at: datetime) -> int:
    return int(at.timestamp())
