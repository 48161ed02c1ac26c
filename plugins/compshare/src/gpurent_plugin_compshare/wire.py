"""The JSON of the CompShare API <-> the domain model. No I/O. Prices are yuan, times epoch seconds."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal
from typing import Any

from attrs import evolve, field, frozen

from gpurent.api import (
    Currency,
    Endpoint,
    Hardware,
    Lease,
    LeaseState,
    Metered,
    Money,
    Offer,
    Prepaid,
    Secret,
    UnexpectedResponse,
    UnitPrice,
    UsageError,
    parse_foreign_decimal,
    quote_text,
)
from gpurent_plugin_compshare import _
from gpurent_plugin_compshare.client import CompShareReply

NAME = "compshare"
CNY = Currency("CNY", 4)  # the service bills parts of a fen
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
POSTPAY, SPOT = "Postpay", "Spot"
TERMS = {"Dynamic": timedelta(hours=1), "Day": DAY, "Month": 30 * DAY, "Year": 365 * DAY}
STARTING = frozenset(
    {"", "Initializing", "Pending", "Install", "Starting", "Rebooting", "Reinstalling", "Resizing"}
)
MIB_IN_GIB = 1024
# What provider_data of an offer and of a lease holds.
REGION, ZONE, CHARGE, STOPPED_AT = "region", "zone", "charge", "stopped_at"


@frozen(kw_only=True)
class Instance:
    """A machine of the account. ``is_cardless``: it runs without its GPU. ``changed_at``: when its state last changed.

    ``released_at``: when a stopped one is deleted; ``stops_at``: when the service's own timer shuts it down.
    """

    id: str
    name: str
    state: str
    offer: Offer
    is_cardless: bool
    endpoint: Endpoint | None
    password: Secret | None = field(repr=False)
    created_at: datetime | None
    changed_at: datetime | None
    expires_at: datetime | None
    released_at: datetime | None
    stops_at: datetime | None


def make_key(zone: str, gpu: str, sizes: Iterable[int], charge: str) -> str:
    """Return an offer's key; ``sizes``: GPUs, CPUs and GiB of memory."""
    return ":".join([zone, gpu, *map(str, sizes), *(["spot"] if charge == SPOT else [])])


def make_place(region: str, zone: str, charge: str) -> dict[str, str]:
    return {REGION: region, ZONE: zone, CHARGE: charge}


def parse_instance(reply: CompShareReply, row: Mapping[str, Any]) -> Instance:
    state = reply.get_text(row, "State")
    charge = reply.get_text(row, "ChargeType")
    return Instance(
        id=_get_id(reply, row),
        name=reply.get_text(row, "Name"),
        state=state,
        offer=_parse_offer(reply, row, charge),
        is_cardless=reply.get_integer(row, "GPU") == 0,  # assumed: the row then has the size without GPU
        endpoint=_parse_endpoint(reply, row) if state == "Running" else None,
        password=_parse_password(reply, row),
        created_at=get_time(reply, row, "CreateTime"),
        changed_at=get_time(reply, row, "UpdateTime"),
        expires_at=get_time(reply, row, "ExpireTime") if charge in TERMS else None,
        released_at=get_time(reply, row, "ReleaseTime") if state == "Stopped" else None,
        stops_at=get_time(reply, row, "StopSchedulerTime"),
    )


def _get_id(reply: CompShareReply, row: Mapping[str, Any]) -> str:
    found = reply.get_text(row, "UHostId")
    if not found:
        raise reply.make_unexpected_response(_("a machine without its id"))
    return found


def _parse_offer(reply: CompShareReply, row: Mapping[str, Any], charge: str) -> Offer:
    zone, gpu = reply.get_text(row, "Zone"), reply.get_text(row, "GpuType")
    sizes = [reply.get_integer(row, name) for name in ("GPU", "CPU", "Memory")]
    sizes[2] //= MIB_IN_GIB
    price = reply.get_number(row, "InstancePrice") + _sum_prices(reply, row, "DiskPriceInfo")
    stopped = _sum_prices(reply, row, "PostPayPowerOffBillingResource")
    term = TERMS.get(charge)
    region = reply.get_text(row, "Region") or zone.rpartition("-")[0]
    return Offer(
        key=make_key(zone, gpu, sizes, charge),
        provider=NAME,
        hardware=Hardware(gpu=gpu if sizes[0] else "", gpus=sizes[0], cpus=sizes[1], memory=sizes[2]),
        tariff=Prepaid(price=UnitPrice(price, CNY, term), minimum=term)
        if term
        else Metered(price=UnitPrice(price, CNY), billing_increment=SECOND),
        stopped_price=None if term else UnitPrice(stopped, CNY),
        location=zone,
        spot=charge == SPOT,
        provider_data=make_place(region, zone, charge),
    )


def _sum_prices(reply: CompShareReply, row: Mapping[str, Any], name: str) -> Decimal:
    found = row.get(name) or []
    if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
        raise reply.make_unexpected_response(_("{name} is no list of objects").format(name=name))
    return sum((reply.get_number(part, "Price") for part in found), Decimal(0))


def _parse_endpoint(reply: CompShareReply, row: Mapping[str, Any]) -> Endpoint | None:
    line = reply.get_text(row, "SshLoginCommand").strip()
    try:
        return Endpoint.parse(line) if line else None
    except UsageError:
        raise reply.make_unexpected_response(_("an address that cannot be one")) from None


def _parse_password(reply: CompShareReply, row: Mapping[str, Any]) -> Secret | None:
    """The row has the password in Base64."""
    encoded = reply.get_text(row, "Password")
    try:
        return Secret(b64decode(encoded, validate=True).decode()) if encoded else None
    except ValueError:
        raise reply.make_unexpected_response(_("a password that is not encoded")) from None


def get_time(reply: CompShareReply, row: Mapping[str, Any], name: str) -> datetime | None:
    """Return a time; None also for 0."""
    return reply.get_time(row, name) if row.get(name) else None


def parse_money(reply: CompShareReply, value: object) -> Money:
    """Return an amount of yuan that may be below zero, rounded away from 0 to a hundredth of a fen."""
    try:
        exact = parse_foreign_decimal(value)
    except ValueError:
        raise reply.make_unexpected_response(_("an amount that is no number")) from None
    if abs(exact) > 10**9:
        raise reply.make_unexpected_response(_("an amount out of range"))
    return Money(int(exact.scaleb(CNY.exponent).to_integral_value(ROUND_UP)), CNY)


def apply_instance(lease: Lease, seen: Instance) -> Lease:
    """Return the lease as the machine's state has it; its password is not stored yet."""
    known = evolve(lease, started_at=seen.created_at or lease.started_at, expires_at=seen.expires_at)
    if seen.state == "Running" and seen.endpoint is not None and seen.password is not None:
        note = (
            _("CompShare shuts it down at {at:%Y-%m-%d %H:%M} UTC").format(at=seen.stops_at)
            if seen.stops_at
            else ""
        )
        return evolve(_move(known, LeaseState.READY), endpoint=seen.endpoint, note=note)
    known = evolve(known, endpoint=None)
    if seen.state == "Running" or seen.state in STARTING:
        return _move(
            known, LeaseState.PROVISIONING, _("the machine is starting: {state}").format(state=seen.state)
        )
    is_leaving = lease.release_requested_at is not None
    if seen.state == "Stopping":
        state = LeaseState.RELEASING if is_leaving else LeaseState.PROVISIONING
        return _move(known, state, _("the machine is shutting down"))
    if seen.state == "Stopped":
        return _apply_stopped(known, seen, LeaseState.RELEASING if is_leaving else LeaseState.STOPPED)
    if seen.state == "Install Fail":
        return _move(known, LeaseState.INTERRUPTED, _("its image could not be installed; release it"))
    text = _("CompShare names a state of the machine that gpurent does not know: {state}")
    raise UnexpectedResponse(text.format(state=quote_text(seen.state)), url="/")


def _apply_stopped(lease: Lease, seen: Instance, state: LeaseState) -> Lease:
    """Its end is when the service deletes it, unless it was paid for longer."""
    note = ""
    if seen.released_at is not None:
        note = _("CompShare deletes it at {at:%Y-%m-%d %H:%M} UTC unless it is started").format(
            at=seen.released_at
        )
    stopped_at = {STOPPED_AT: seen.changed_at.isoformat()} if seen.changed_at else {}
    stopped = evolve(lease, provider_data={**lease.provider_data, **stopped_at})
    return evolve(_move(stopped, state, note), expires_at=lease.expires_at or seen.released_at, note=note)


def _move(lease: Lease, state: LeaseState, note: str = "") -> Lease:
    return lease if lease.state is state and not note else lease.with_state(state, note)
