"""The JSON of the Prime Intellect API <-> the domain model. No I/O.

Source: its published OpenAPI document and its own client, of 2026. Prices are USD per hour, sizes GB.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from attrs import frozen

from gpurent.api import (
    CountedPages,
    Currency,
    DiskPrice,
    Endpoint,
    Hardware,
    JsonApi,
    JsonReply,
    Metered,
    Offer,
    PluginContext,
    UnitPrice,
    Volume,
    VolumeOffer,
    VolumeState,
    make_state_error,
    quote_text,
)

NAME = "prime"
SERVICE = "Prime Intellect"
# The service bills fractions of a cent.
USD = Currency("USD", 6)
BILLING_INCREMENT = timedelta(seconds=1)
MAX_NAME_LENGTH = 60
OFFERS_PATH = "/api/v1/availability/gpus"
PODS_PATH = "/api/v1/pods/"
KEYS_PATH = "/api/v1/ssh_keys/"
DISKS_PATH, DISK_OFFERS_PATH = "/api/v1/disks/", "/api/v1/availability/disks"
WALLET_PATH = "/api/v1/billing/wallet"
LIST = CountedPages(rows="data", total="total_count", size=25)
BILLINGS = CountedPages(rows="recent_billings", total="total_billings")
OFFERS = CountedPages(
    rows="items", total="totalCount", param="page", size_param="page_size", is_numbered=True
)
# What an offer's provider_data holds, for the create: text, or empty where the service states null.
CLOUD, GPU, SOCKET, CENTER, OWNER = "cloud_id", "gpu_type", "socket", "data_center", "provider"
DISK, CPUS, MEMORY, VOLUME = "disk", "vcpus", "memory", "volume"
# The same for a disk: what its create says of the place.
DISK_FIELDS = ("country", "cloudId", "dataCenterId")
DISK_STATES = {
    "PROVISIONING": VolumeState.CREATING,
    "PENDING": VolumeState.CREATING,
    "ACTIVE": VolumeState.READY,
    "STOPPED": VolumeState.READY,
    "ERROR": VolumeState.READY,
    "UNKNOWN": VolumeState.READY,
    "DELETING": VolumeState.DELETING,
    "TERMINATED": VolumeState.DELETED,
}
Row = Mapping[str, Any]


@frozen(kw_only=True)
class PrimeReply(JsonReply):
    @property
    def detail(self) -> str:
        """What the service itself says about a refusal; empty if the answer may be somebody else's."""
        said = self.body.get("detail", self.body.get("errors"))
        if isinstance(said, str):
            return said
        return "; ".join(filter(None, map(_describe_field, said))) if isinstance(said, list) else ""

    @property
    def message(self) -> str:
        return self.detail or self.error

    @property
    def rejects_login(self) -> bool:
        return self.status == 401

    @property
    def is_missing(self) -> bool:
        """Whether the service says that it does not have what was asked for."""
        return self.status == 404 and bool(self.detail)


def _describe_field(found: object) -> str:
    """Return what is wrong with a field: ``loc`` and ``msg`` of a check, or ``param`` and ``details``."""
    row = found if isinstance(found, dict) else {}
    place, text = row.get("loc", row.get("param")), row.get("msg", row.get("details"))
    where = ".".join(str(part) for part in place if part != "body") if isinstance(place, list) else place
    return f"{where}: {text}" if isinstance(text, str) else ""


PrimeApi = JsonApi[PrimeReply]


def make_api(context: PluginContext) -> PrimeApi:
    return JsonApi(context, NAME, SERVICE, PrimeReply)


@frozen(kw_only=True)
class Pod:
    """A machine of the account. ``is_installing``: it is active, and not set up yet."""

    id: str
    name: str
    status: str
    is_installing: bool
    failure: str
    endpoint: Endpoint | None
    created_at: datetime | None
    offer: Offer


def parse_offer(reply: PrimeReply, row: Row, wanted_disk: int) -> Offer | None:
    """Parse an offer with a disk of this size at least; None for what gpurent does not rent.

    That is: machines without a GPU, spot machines, those that are prepaid, and those without a price.
    """
    prices = reply.get_object(row, "prices")
    # The client takes the community's price first.
    price = reply.find_number(prices, "communityPrice")
    price = price if price is not None else reply.find_number(prices, "onDemand")
    kind = reply.get_text(row, "gpuType")
    if price is None or kind == "CPU_NODE" or row.get("isSpot") is True or row.get("prepaidTime"):
        return None
    disk, cpus, memory = (_Part.parse(reply, row, name) for name in ("disk", "vcpu", "memory"))
    size = max(disk.size, wanted_disk)
    total = price + disk.price_extra(size) + cpus.price_extra(cpus.size) + memory.price_extra(memory.size)
    facts = {name: reply.get_text(row, name) for name in ("cloudId", "socket", "dataCenter", "provider")}
    return Offer(
        key=_make_key(kind, *facts.values(), str(row.get("gpuCount")), str(row.get("security"))),
        provider=NAME,
        hardware=Hardware(
            gpu=_spell_gpu(kind),
            gpus=reply.get_integer(row, "gpuCount"),
            gpu_memory=reply.get_integer(row, "gpuMemory"),
            cpus=cpus.size,
            memory=memory.size,
            disk=size,
        ),
        tariff=Metered(price=UnitPrice(total, USD), billing_increment=BILLING_INCREMENT),
        disk=DiskPrice(free=size, price=UnitPrice(disk.price, USD), is_per_gpu=False, maximum=disk.maximum),
        available=reply.get_text(row, "stockStatus") != "Unavailable",
        location=", ".join(filter(None, (facts["dataCenter"], reply.get_text(row, "country")))),
        volume_place=_make_place(facts["provider"], facts["dataCenter"]),
        provider_data={
            GPU: kind,
            **dict(zip((CLOUD, SOCKET, CENTER, OWNER), facts.values(), strict=True)),
            DISK: str(size),
            CPUS: str(cpus.size or ""),
            MEMORY: str(memory.size or ""),
        },
    )


@frozen(kw_only=True)
class _Part:
    """A part of a machine whose size can be chosen, at its usual size; ``price``: of one unit."""

    size: int
    maximum: int | None
    price: Decimal
    is_included: bool

    def price_extra(self, size: int) -> Decimal:
        """Return what it costs in this size, beside the machine's price."""
        return self.price * (size - (self.size if self.is_included else 0))

    @classmethod
    def parse(cls, reply: PrimeReply, row: Row, name: str) -> _Part:
        found = reply.get_object(row, name)
        usual, most = reply.find_number(found, "defaultCount"), reply.find_number(found, "maxCount")
        return cls(
            size=int(usual or reply.find_number(found, "minCount") or 0),
            maximum=None if most is None else int(most),
            price=reply.find_number(found, "pricePerUnit") or Decimal(0),
            is_included=found.get("defaultIncludedInPrice") is not False,
        )


def _make_key(kind: str, *parts: str) -> str:
    """Return the same short key for the same offer each time: the service has none that a user could type."""
    digest = hashlib.sha256("\n".join((kind, *parts)).encode()).hexdigest()[:8]
    return f"{kind.partition('_')[0].lower()}-{digest}"


def _spell_gpu(kind: str) -> str:
    """``RTX4090_24GB`` is an RTX 4090, ``H100_80GB`` an H100."""
    name = re.sub(r"_\d+GB\Z", "", kind, flags=re.ASCII).replace("_", " ")
    return re.sub(r"(?<=RTX)(?=\d)", " ", name, flags=re.ASCII)


def parse_pod(reply: PrimeReply, row: Row) -> Pod:
    kind = reply.get_text(row, "gpuName")
    price, stopped = reply.get_number(row, "priceHr"), reply.find_number(row, "stoppedPriceHr")
    return Pod(
        id=reply.get_id(row),
        name=reply.get_text(row, "name"),
        status=reply.get_text(row, "status"),
        is_installing=row.get("installationStatus") in ("PENDING", "ACTIVE"),
        failure=reply.get_text(row, "installationFailure"),
        endpoint=_parse_endpoint(reply, row.get("sshConnection")),
        created_at=reply.get_iso_time(row, "createdAt", UTC),
        offer=Offer(
            key=kind.lower(),
            provider=NAME,
            hardware=Hardware(gpu=_spell_gpu(kind), gpus=reply.get_integer(row, "gpuCount")),
            tariff=Metered(price=UnitPrice(price, USD), billing_increment=BILLING_INCREMENT),
            stopped_price=None if stopped is None else UnitPrice(stopped, USD),
        ),
    )


def _parse_endpoint(reply: PrimeReply, found: object) -> Endpoint | None:
    """Return the SSH server: a command, or a list with one for each node; None while there is none."""
    lines = found if isinstance(found, list) else [found]
    return reply.parse_endpoint(str(next((line for line in lines if line), "")))


def _make_place(cloud: str, center: str) -> str:
    """Return where a disk is, or the pods that it can be attached to."""
    return f"{cloud}/{center}" if cloud else ""


def parse_volume_offer(reply: PrimeReply, row: Row) -> VolumeOffer | None:
    """Parse a place for disks; None for one that is sold out, or has no price."""
    spec, cloud = reply.get_object(row, "spec"), reply.get_text(row, "provider")
    price, most = reply.find_number(spec, "pricePerUnit"), reply.find_number(spec, "maxCount")
    if price is None or not cloud or reply.get_text(row, "stockStatus") == "Unavailable":
        return None
    center, country = reply.get_text(row, "dataCenter"), reply.get_text(row, "country")
    return VolumeOffer(
        provider=NAME,
        place=_make_place(cloud, center),
        location=", ".join(filter(None, (center, country))),
        price=UnitPrice(price, USD),
        minimum=max(1, int(reply.find_number(spec, "minCount") or 1)),
        maximum=None if most is None else int(most),
        provider_data={
            OWNER: cloud,
            **dict(zip(DISK_FIELDS, (country, reply.get_text(row, "cloudId"), center), strict=True)),
        },
    )


def parse_volume(reply: PrimeReply, row: Row) -> Volume:
    """Parse a disk of the account."""
    status, price = reply.get_text(row, "status"), reply.find_number(row, "priceHr")
    if status not in DISK_STATES:
        raise make_state_error(SERVICE, status, DISKS_PATH)
    center = reply.get_text(reply.get_object(row, "info"), "dataCenterId") if row.get("info") else ""
    users = row.get("pods")
    return Volume(
        provider=NAME,
        ref=reply.get_id(row),
        label=reply.get_text(row, "name"),
        place=_make_place(reply.get_text(row, "providerType"), center),
        size=reply.get_integer(row, "size"),
        state=DISK_STATES[status],
        note=quote_text(status) if status in ("ERROR", "UNKNOWN") else "",
        price=None if price is None else UnitPrice(price, USD),
        users=tuple(str(one) for one in users) if isinstance(users, list) else (),
        created_at=reply.get_iso_time(row, "createdAt", UTC),
    )
