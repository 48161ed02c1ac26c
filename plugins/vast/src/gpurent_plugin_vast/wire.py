"""The JSON of the vast.ai API <-> the domain model. No I/O. Source: the published API documentation of 2026.

Prices are USD per hour, storage USD per GB and month, traffic USD per GB; memory is in MB, times are epoch seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal
from typing import Any

from attrs import evolve, frozen

from gpurent.api import (
    Currency,
    DiskPrice,
    Endpoint,
    Hardware,
    JsonApi,
    JsonReply,
    Metered,
    Offer,
    PluginContext,
    TrafficPrice,
    UnitPrice,
)

SERVICE = "vast.ai"
# The service bills fractions of a cent.
USD = Currency("USD", 6)
USER = "root"
DISK_GB = 16
"""Of each machine, unless a larger one is wanted; 8 is the least that the service sells."""
HOURS_OF_MONTH = 720  # assumed: the documentation gives no length of a month
BILLING_INCREMENT = timedelta(seconds=1)
MB_IN_GIB = 1024
PRICE_STEP = Decimal("1e-12")
MAX_NAME_LENGTH = 60
SSH_PORT = "22/tcp"
ACCOUNT_PATH = "/api/v0/users/current/"
PAGES = {"token_field": "next_token", "token_param": "after_token"}
# What an offer's provider_data holds: the bid for it, USD per hour without its disk.
BID = "bid"


@frozen(kw_only=True)
class VastReply(JsonReply):
    @property
    def error(self) -> str:
        if self.status < 400 and self.body.get("success") is not False:
            return ""
        found = self.body.get("error")
        return found if isinstance(found, str) and found else f"http-{self.status}"

    @property
    def rejects_login(self) -> bool:
        # A wrong key is answered with 401 or 404, depending on the route; a request without one with 403.
        return self.error in ("auth_error", "http-401", "http-403")

    @property
    def is_confirmed(self) -> bool:
        """Whether the service says that it did what was asked: an empty object says nothing."""
        return not self.error and self.body.get("success") is True

    @property
    def message(self) -> str:
        """What the service says to people; its error's name if it says nothing."""
        found = self.body.get("msg") or self.body.get("message")
        return found if isinstance(found, str) and found else self.error


class VastList(VastReply):
    """An answer that may be a bare array."""

    array_field = "rows"


VastApi = JsonApi[VastReply]


def make_api(context: PluginContext) -> VastApi:
    return JsonApi(context, "vast", SERVICE, VastReply)


@frozen(kw_only=True)
class Instance:
    """A machine of the account. ``status`` is what it is, empty while nothing is known of it yet.

    ``wants_to_run``: it is to run as far as its user is concerned. ``is_bid``: it is interrupted if others pay more.
    """

    id: str
    label: str
    status: str
    wants_to_run: bool
    is_bid: bool
    note: str
    endpoint: Endpoint | None
    started_at: datetime | None
    offer: Offer


def parse_offers(reply: VastReply, disk: int, bid: Decimal | None, *, spot: bool) -> list[Offer]:
    """Parse the found offers, whose prices include ``disk`` GB.

    ``spot``: each costs what is bid for it, ``bid`` (USD per hour) or the least that is taken; where ``bid`` is too
    low, there is no offer.
    """
    found = []
    for row in reply.get_rows("offers"):
        offer = _parse_offer(reply, row, str(reply.get_integer(row, "id")), disk)
        if spot:
            least = reply.get_number(row, "min_bid")
            offered = least if bid is None else bid
            if offered < least:
                continue
            offer = change_bid(offer, offered)
        found.append(offer)
    return found


def change_bid(offer: Offer, bid: Decimal) -> Offer:
    """Return the offer at this bid, to which its disk comes."""
    price = UnitPrice((bid + offer_storage(offer)).quantize(PRICE_STEP, ROUND_UP).normalize(), USD)
    tariff = Metered(price=price, billing_increment=BILLING_INCREMENT)
    return evolve(offer, tariff=tariff, spot=True, provider_data={BID: f"{bid:f}"})


def offer_storage(offer: Offer) -> Decimal:
    """Return what its disk costs, in USD per hour."""
    return offer.stopped_price.value if offer.stopped_price is not None else Decimal(0)


def _parse_offer(reply: VastReply, row: Mapping[str, Any], key: str, disk: int) -> Offer:
    storage = reply.get_number(row, "storage_cost") / HOURS_OF_MONTH
    hardware = _parse_hardware(reply, row)
    return Offer(
        key=key,
        provider="vast",
        hardware=hardware,
        tariff=Metered(
            price=UnitPrice(reply.get_number(row, "dph_total"), USD), billing_increment=BILLING_INCREMENT
        ),
        disk=DiskPrice(
            free=disk, price=UnitPrice(storage, USD), is_per_gpu=False, maximum=max(disk, hardware.disk)
        ),
        stopped_price=UnitPrice(storage * disk, USD),
        available=row.get("rentable") is not False and row.get("rented") is not True,
        location=reply.get_text(row, "geolocation"),
        reliability=_parse_reliability(reply, row),
        cuda=_parse_cuda(reply, row),
        host="" if row.get("machine_id") is None else str(reply.get_integer(row, "machine_id")),
        traffic=_parse_traffic(reply, row),
    )


def _parse_hardware(reply: VastReply, row: Mapping[str, Any]) -> Hardware:
    return Hardware(
        gpu=reply.get_text(row, "gpu_name")[:MAX_NAME_LENGTH],
        gpus=reply.get_integer(row, "num_gpus"),
        gpu_memory=_to_gib(reply.get_number(row, "gpu_ram")),
        cpus=int(reply.get_number(row, "cpu_cores_effective")),
        memory=_to_gib(reply.get_number(row, "cpu_ram")),
        disk=int(reply.get_number(row, "disk_space")),
    )


def _parse_reliability(reply: VastReply, row: Mapping[str, Any]) -> Decimal | None:
    share = reply.find_number(row, "reliability2")
    return None if share is None else share * 100


def _parse_cuda(reply: VastReply, row: Mapping[str, Any]) -> str:
    found = reply.find_number(row, "cuda_max_good")
    return "" if found is None else f"{found:f}"


def _parse_traffic(reply: VastReply, row: Mapping[str, Any]) -> TrafficPrice | None:
    """The host's upload is the user's download."""
    upload, download = reply.find_number(row, "inet_down_cost"), reply.find_number(row, "inet_up_cost")
    if upload is None or download is None:
        return None
    return TrafficPrice(upload=upload, download=download, currency=USD)


def _to_gib(megabytes: Decimal) -> int:
    """A card of 24 GiB is listed with 24,564 MB."""
    return int((megabytes + MB_IN_GIB // 2) // MB_IN_GIB)


def parse_instance(reply: VastReply, row: Mapping[str, Any]) -> Instance:
    disk = int(reply.get_number(row, "disk_space"))
    return Instance(
        id=str(reply.get_integer(row, "id")),
        label=reply.get_text(row, "label"),
        status=reply.get_text(row, "actual_status"),
        wants_to_run=row.get("intended_status") != "stopped",
        is_bid=row.get("is_bid") is True,
        note=reply.get_text(row, "status_msg"),
        endpoint=_parse_endpoint(reply, row),
        started_at=reply.get_time(row, "start_date"),
        offer=_parse_offer(reply, row, str(row.get("machine_id") or ""), disk),
    )


def _parse_endpoint(reply: VastReply, row: Mapping[str, Any]) -> Endpoint | None:
    """Return the machine's own address; None until the port of its SSH server is mapped."""
    ports, host = row.get("ports"), reply.get_text(row, "public_ipaddr").strip()
    mapped = ports.get(SSH_PORT) if isinstance(ports, dict) else None
    if not mapped or not host:
        return None
    try:
        port = mapped[0]["HostPort"]
    except (LookupError, TypeError):
        port = None
    return reply.make_endpoint(USER, host, port)
