"""The JSON of the CompShare API <-> the domain model. No I/O. Prices are yuan, times epoch seconds."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from attrs import evolve, field, frozen

from gpurent.api import (
    Currency,
    Endpoint,
    Hardware,
    Lease,
    LeaseState,
    Metered,
    Offer,
    Prepaid,
    Secret,
    UnexpectedResponse,
    UnitPrice,
    UsageError,
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
STOPPED_AT = "stopped_at"  # in provider_data of a lease


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


def make_key(place: Mapping[str, str], size: Hardware) -> str:
    """Return an offer's key: ``cn-wlcb-01:4090:1:16:64`` has one GPU, 16 CPUs, 64 GiB; a spot machine's ends so."""
    parts = [place["Zone"], size.gpu, *map(str, (size.gpus, size.cpus, size.memory))]
    return ":".join([*parts, *(["spot"] if place["ChargeType"] == SPOT else [])])


def parse_instance(reply: CompShareReply, row: Mapping[str, Any]) -> Instance:
    state, charge = reply.get_text(row, "State"), reply.get_text(row, "ChargeType")
    found = reply.get_text(row, "UHostId")
    if not found:
        raise reply.make_unexpected_response(_("a machine without its id"))
    return Instance(
        id=found,
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


def _parse_offer(reply: CompShareReply, row: Mapping[str, Any], charge: str) -> Offer:
    zone, term = reply.get_text(row, "Zone"), TERMS.get(charge)
    gpus, cpus, memory = (reply.get_integer(row, name) for name in ("GPU", "CPU", "Memory"))
    size = Hardware(gpu=reply.get_text(row, "GpuType"), gpus=gpus, cpus=cpus, memory=memory // MIB_IN_GIB)
    region = reply.get_text(row, "Region") or zone.rpartition("-")[0]
    place = {"Region": region, "Zone": zone, "ChargeType": charge}
    price = reply.get_number(row, "InstancePrice") + _sum_prices(reply, row, "DiskPriceInfo")
    stopped = UnitPrice(_sum_prices(reply, row, "PostPayPowerOffBillingResource"), CNY)
    metered = Metered(price=UnitPrice(price, CNY), billing_increment=SECOND)
    return Offer(
        key=make_key(place, size),
        provider=NAME,
        hardware=size if gpus else evolve(size, gpu=""),
        tariff=Prepaid(price=UnitPrice(price, CNY, term), minimum=term) if term else metered,
        stopped_price=None if term else stopped,
        location=zone,
        spot=charge == SPOT,
        provider_data=place,
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


def apply_instance(lease: Lease, seen: Instance) -> Lease:
    """Return the lease as the machine's state has it; its password is not stored yet."""
    is_leaving = lease.release_requested_at is not None
    kept_until, data, endpoint = None, lease.provider_data, None
    state, note = LeaseState.PROVISIONING, _("the machine is starting: {state}").format(state=seen.state)
    if seen.state == "Running" and seen.endpoint is not None and seen.password is not None:
        state, note, endpoint = LeaseState.READY, "", seen.endpoint
        if seen.stops_at is not None:
            note = _("CompShare shuts it down at {at:%Y-%m-%d %H:%M} UTC").format(at=seen.stops_at)
    elif seen.state == "Stopping":
        state, note = LeaseState.RELEASING if is_leaving else state, _("the machine is shutting down")
    elif seen.state == "Stopped":
        state, note, kept_until = (
            LeaseState.RELEASING if is_leaving else LeaseState.STOPPED,
            "",
            seen.released_at,
        )
        data = {**data, STOPPED_AT: seen.changed_at.isoformat()} if seen.changed_at else data
        if kept_until is not None:
            note = _("CompShare deletes it at {at:%Y-%m-%d %H:%M} UTC unless it is started").format(
                at=kept_until
            )
    elif seen.state == "Install Fail":
        state, note = LeaseState.INTERRUPTED, _("its image could not be installed; release it")
    elif seen.state != "Running" and seen.state not in STARTING:
        text = _("CompShare names a state of the machine that gpurent does not know: {state}")
        raise UnexpectedResponse(text.format(state=quote_text(seen.state)), url="/")
    return evolve(
        lease.with_state(state),
        note=note,
        endpoint=endpoint,
        started_at=seen.created_at or lease.started_at,
        expires_at=seen.expires_at,
        kept_until=kept_until,
        provider_data=data,
    )
