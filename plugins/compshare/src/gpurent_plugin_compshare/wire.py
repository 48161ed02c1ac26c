"""The JSON of the CompShare API <-> the domain model. No I/O. Prices are yuan an hour, times epoch seconds."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from attrs import field, frozen

from gpurent.api import (
    Currency,
    Hardware,
    Lease,
    LeaseState,
    Metered,
    Offer,
    Prepaid,
    Secret,
    UnitPrice,
    make_state_error,
)
from gpurent_plugin_compshare import _
from gpurent_plugin_compshare.client import NAME, SERVICE, CompShareReply

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
    """A machine of the account, as a lease of its own. ``is_cardless``: it runs without its GPU."""

    lease: Lease
    state: str
    is_cardless: bool
    password: Secret | None = field(repr=False)


def get_id(lease: Lease) -> str:
    """Return the machine's id, without what a lease's reference has behind it."""
    return lease.ref.partition("/")[0]


def make_key(place: Mapping[str, str], size: Hardware) -> str:
    """Return an offer's key: ``cn-wlcb-01:4090:1:16:64`` has one GPU, 16 CPUs, 64 GiB; a spot machine's ends so."""
    parts = [place["Zone"], size.gpu, *map(str, (size.gpus, size.cpus, size.memory))]
    return ":".join([*parts, *(["spot"] if place["ChargeType"] == SPOT else [])])


def make_offer(
    place: Mapping[str, str], size: Hardware, price: Decimal, stopped: Decimal, **more: Any
) -> Offer:
    """Return an offer; ``place``: the fields Region, Zone and ChargeType of requests for it."""
    term = TERMS.get(place["ChargeType"])
    metered = Metered(price=UnitPrice(price, CNY), billing_increment=SECOND)
    return Offer(
        key=make_key(place, size),
        provider=NAME,
        hardware=size,
        tariff=Prepaid(price=UnitPrice(price, CNY, term), minimum=term) if term else metered,
        stopped_price=None if term else UnitPrice(stopped, CNY),
        location=place["Zone"],
        spot=place["ChargeType"] == SPOT,
        provider_data=place,
        **more,
    )


def parse_instance(reply: CompShareReply, row: Mapping[str, Any]) -> Instance:
    state, password = reply.get_text(row, "State"), _parse_password(reply, row)
    is_reachable = state == "Running" and password is not None
    endpoint = reply.parse_endpoint(reply.get_text(row, "SshLoginCommand")) if is_reachable else None
    offer, changed_at = _parse_offer(reply, row), _get_time(reply, row, "UpdateTime")
    is_stopped, is_prepaid = state == "Stopped", isinstance(offer.tariff, Prepaid)
    listed_state, note = _parse_state(reply, row, is_reachable=endpoint is not None)
    lease = Lease(
        id="",
        provider=NAME,
        offer=offer,
        ref=reply.get_id(row, "UHostId"),
        label=reply.get_text(row, "Name"),
        state=listed_state,
        note=note,
        endpoint=endpoint,
        started_at=_get_time(reply, row, "CreateTime"),
        expires_at=_get_time(reply, row, "ExpireTime") if is_prepaid else None,
        kept_until=_get_time(reply, row, "ReleaseTime") if is_stopped else None,
        stops_at=_get_time(reply, row, "StopSchedulerTime"),
        provider_data={STOPPED_AT: changed_at.isoformat()} if is_stopped and changed_at else {},
    )
    # Assumed: the row of a machine without its GPU has the size of that.
    return Instance(lease=lease, state=state, is_cardless=offer.hardware.gpus == 0, password=password)


def _parse_offer(reply: CompShareReply, row: Mapping[str, Any]) -> Offer:
    gpus, cpus, memory = (reply.get_integer(row, name) for name in ("GPU", "CPU", "Memory"))
    gpu = reply.get_text(row, "GpuType") if gpus else ""
    place = {name: reply.get_text(row, name) for name in ("Region", "Zone", "ChargeType")}
    place["Region"] = place["Region"] or place["Zone"].rpartition("-")[0]
    disks, stopped = (
        sum((reply.get_number(part, "Price") for part in reply.find_objects(row, name)), Decimal(0))
        for name in ("DiskPriceInfo", "PostPayPowerOffBillingResource")
    )
    size = Hardware(gpu=gpu, gpus=gpus, cpus=cpus, memory=memory // MIB_IN_GIB)
    return make_offer(place, size, reply.get_number(row, "InstancePrice") + disks, stopped)


def _parse_password(reply: CompShareReply, row: Mapping[str, Any]) -> Secret | None:
    """The row has the password in Base64."""
    encoded = reply.get_text(row, "Password")
    try:
        return Secret(b64decode(encoded, validate=True).decode()) if encoded else None
    except ValueError:
        raise reply.make_unexpected_response(_("a password that is not encoded")) from None


def _get_time(reply: CompShareReply, row: Mapping[str, Any], name: str) -> datetime | None:
    """Return a time; None also for 0."""
    return reply.get_time(row, name) if row.get(name) else None


def _parse_state(
    reply: CompShareReply, row: Mapping[str, Any], *, is_reachable: bool
) -> tuple[LeaseState, str]:
    state = reply.get_text(row, "State")
    if state == "Running" and is_reachable:
        return LeaseState.READY, ""
    if state == "Stopped":
        at = _get_time(reply, row, "ReleaseTime")
        text = _("CompShare deletes it at {at:%Y-%m-%d %H:%M} UTC unless it is started")
        return LeaseState.STOPPED, text.format(at=at) if at else ""
    if state == "Stopping":
        return LeaseState.PROVISIONING, _("the machine is shutting down")
    if state == "Install Fail":
        return LeaseState.INTERRUPTED, _("its image could not be installed; release it")
    if state == "Running" or state in STARTING:
        return LeaseState.PROVISIONING, _("the machine is starting: {state}").format(state=state)
    raise make_state_error(SERVICE, state, "/")
