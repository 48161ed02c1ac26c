"""What the account is shown of its costs, and the simulator's own ledger: both from the same bookings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gpurent.api import Currency, Money, SimulatorLedgerEntry
from gpurent_plugin_runpod.simulator.meters import Booking
from gpurent_plugin_runpod.simulator.problem import Problem, invalid_body
from gpurent_plugin_runpod.simulator.state import RunpodAccount
from gpurent_plugin_runpod.simulator.stock import make_usd

MICRO_USD = Currency("USD", 6)
BUCKETS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
POD_FIELDS = {"gpuAmount": "gpu", "cpuAmount": "cpu", "diskAmount": "disk"}
VOLUME_FIELDS = {"standardAmount": "standard", "highPerformanceAmount": "high"}
ALL_FIELDS = {
    "podGpuAmount": "gpu",
    "podCpuAmount": "cpu",
    "podDiskAmount": "disk",
    "serverlessGpuAmount": "",
    "serverlessCpuAmount": "",
    "serverlessDiskAmount": "",
    "serverlessFeeAmount": "",
    "storageStandardAmount": "standard",
    "storageHighPerformanceAmount": "high",
    "endpointAmount": "",
    "clusterGpuAmount": "",
    "clusterDiskAmount": "",
    "clusterNetworkingAmount": "",
}
DEFAULT_SPAN = timedelta(days=30)


def list_billing(
    bookings: Sequence[Booking],
    query: Mapping[str, str],
    now: datetime,
    fields: Mapping[str, str],
    ref: str = "",
) -> dict[str, Any]:
    """Return the records of a billing route, one for each bucket and, if ``ref`` names a field for it, each resource.

    Raises `Problem`. Assumed: all records come in one answer.
    """
    bucket = query.get("bucketSize", "day")
    if bucket not in BUCKETS:
        raise invalid_body("bucketSize: hour, day and week are simulated")
    start, end = _read_window(query, bucket, now)
    rows: dict[tuple[datetime, str], dict[str, int]] = {}
    wanted = query.get(ref, "") if ref else ""
    for booking in bookings:
        if not start <= booking.since < end or (wanted and booking.ref != wanted):
            continue
        if not set(booking.amounts) & set(fields.values()):
            continue
        amounts = rows.setdefault((_floor(booking.since, bucket), booking.ref if ref else ""), {})
        for kind, amount in booking.amounts.items():
            amounts[kind] = amounts.get(kind, 0) + amount
    records = [
        {
            "startTime": _show(at),
            "endTime": _show(at + BUCKETS[bucket]),
            **({ref: name} if ref else {}),
            **_make_amounts(amounts, fields),
        }
        for (at, name), amounts in sorted(rows.items())
    ]
    totals: dict[str, int] = {}
    for amounts in rows.values():
        for kind, amount in amounts.items():
            totals[kind] = totals.get(kind, 0) + amount
    metadata: dict[str, Any] = {
        "query": {"startTime": _show(start), "endTime": _show(end), "bucketSize": bucket},
        "recordCount": len(records),
        "totals": _make_amounts(totals, fields),
    }
    if ref:
        metadata["query"][ref] = wanted or None
        metadata[f"unique{ref[0].upper()}{ref[1:-2]}Count"] = len({name for _at, name in rows})
    return {"records": records, "metadata": metadata}


def _make_amounts(amounts: Mapping[str, int], fields: Mapping[str, str]) -> dict[str, Any]:
    parts = {field: make_usd(amounts.get(kind, 0)) for field, kind in fields.items()}
    return {"totalAmount": make_usd(sum(amounts.values())), **parts}


def _read_window(query: Mapping[str, str], bucket: str, now: datetime) -> tuple[datetime, datetime]:
    """Return the resolved window, widened to whole buckets."""
    size = BUCKETS[bucket]
    if "lastN" in query:
        if {"startTime", "endTime"} & query.keys():
            raise Problem(400, "lastN and startTime/endTime are mutually exclusive")
        if not query["lastN"].isdecimal() or not 1 <= int(query["lastN"]) <= 10_000:
            raise invalid_body("lastN: minimum 1")
        end = _floor(now, bucket) + size
        return end - int(query["lastN"]) * size, end
    start = _read_time(query, "startTime") or now - DEFAULT_SPAN
    end = _read_time(query, "endTime") or now
    floor = _floor(end, bucket)
    return _floor(start, bucket), floor if floor == end else floor + size


def _read_time(query: Mapping[str, str], name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        found = datetime.fromisoformat(query[name])
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        raise invalid_body(f"{name}: is no time") from None


def _floor(at: datetime, bucket: str) -> datetime:
    start = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if bucket == "hour":
        return start
    start = start.replace(hour=0)
    return start if bucket == "day" else start - timedelta(days=start.weekday())


def _show(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def list_ledger(accounts: Sequence[RunpodAccount]) -> list[SimulatorLedgerEntry]:
    """Return the ledger, oldest first: a line for each payment and booking. Its sum is each account's balance."""
    found = []
    for account in accounts:
        rows = [(paid.at, "credit", paid.amount, paid.id) for paid in account.payments]
        rows += [(booked.at, "usage", -booked.total, booked.ref) for booked in account.bookings]
        found += [
            SimulatorLedgerEntry(
                at=at, account=account.id, kind=kind, amount=Money(amount, MICRO_USD), ref=ref
            )
            for at, kind, amount, ref in rows
        ]
    return sorted(found, key=lambda entry: entry.at)
