"""The JSON of RunPod's REST API v2 <-> the domain model. No I/O. Source: its published OpenAPI document of 2026.

Prices are USD per hour, of one GPU; sizes are in GB; times are RFC 3339.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from attrs import frozen

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
    UnitPrice,
    UsageError,
)
from gpurent_plugin_runpod import _

SERVICE = "RunPod"
# The service bills fractions of a cent.
USD = Currency("USD", 6)
KEYS_PATH = "/v2/account/ssh-keys"
BILLING_INCREMENT = timedelta(seconds=1)
CONTAINER_GB = 20
"""The pod's own disk, which is wiped when it stops."""
VOLUME_GB = 20
"""The disk that a stopped pod keeps, unless a larger one is wanted."""
HOURS_OF_MONTH = 720  # assumed: the documentation gives no length of a month
DISK_PRICE, STOPPED_DISK_PRICE = Decimal("0.10") / HOURS_OF_MONTH, Decimal("0.20") / HOURS_OF_MONTH
"""Of a GB in an hour: of both disks while the pod runs, of what it keeps while it is stopped."""
PAGES = {"token_field": "pagination", "token_param": "cursor"}
STOCK_LEVELS = frozenset({"LOW", "MEDIUM", "HIGH"})
# The first part of a data center's name; else it is the country.
_CONTINENTS = frozenset({"AP", "EU", "EUR", "OC", "SEA"})
# What an offer's provider_data holds: the GPU's full name, the data center, the least CUDA version.
GPU, DATA_CENTER, CUDA = "gpu", "data_center", "cuda"


@frozen(kw_only=True)
class RunpodReply(JsonReply):
    """An answer of the REST API, whose errors are problems as of RFC 9457, or of GraphQL."""

    @property
    def error(self) -> str:
        # GraphQL answers an error with status 200.
        return super().error or ("graphql" if self.body.get("errors") else "")

    @property
    def message(self) -> str:
        errors = self.body.get("errors")
        more = errors if isinstance(errors, list) else []
        texts = [
            self.body.get("detail"),
            *(one.get("message") if isinstance(one, dict) else one for one in more),
        ]
        return ": ".join(text for text in texts if isinstance(text, str)) or self.error

    @property
    def rejects_login(self) -> bool:
        # 403 is the answer to a key that is valid, and may not do this.
        return self.status == 401

    @property
    def is_missing(self) -> bool:
        """Whether the service itself says that there is no such thing; a bare 404 says nothing."""
        return self.status == 404 and self.body.get("status") == 404 and bool(self.body.get("detail"))

    def get_page_token(self, name: str) -> str:
        page = self.body.get(name)
        if not isinstance(page, dict) or not isinstance(page.get("hasNextPage"), bool):
            raise self.make_unexpected_response(_("a list that does not say whether it ends here"))
        token = self.get_text(page, "nextCursor") if page["hasNextPage"] else ""
        if page["hasNextPage"] and not token:
            raise self.make_unexpected_response(_("a list that goes on, but does not say where"))
        return token

    def get_object(self, row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        found = row.get(name)
        if not isinstance(found, dict):
            raise self.make_unexpected_response(_("{name} is no object").format(name=name))
        return found

    def find_rows(self, row: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
        """Return a list of objects; empty for a missing field."""
        found = row.get(name)
        if found is not None and not (
            isinstance(found, list) and all(isinstance(one, dict) for one in found)
        ):
            raise self.make_unexpected_response(_("{name} is no list of objects").format(name=name))
        return found or ()


RunpodApi = JsonApi[RunpodReply]


def make_api(context: PluginContext) -> RunpodApi:
    return JsonApi(context, "runpod", SERVICE, RunpodReply)


@frozen(kw_only=True)
class Pod:
    """A machine of the account. ``actions``: what may be done to it now."""

    id: str
    name: str
    status: str
    endpoint: Endpoint | None
    created_at: datetime | None
    offer: Offer


def parse_offers(reply: RunpodReply, gpus: int, disk: int, cuda: str) -> list[Offer]:
    """Parse the catalog: an offer for each GPU type and data center, whose price includes a disk of ``disk`` GB.

    ``cuda``: the least version that was asked for.
    """
    found = []
    for row in reply.get_rows("gpus"):
        name, price = reply.get_text(row, "id"), reply.get_object(row, "price")
        hardware = Hardware(
            gpu=reply.get_text(row, "name"), gpus=gpus, gpu_memory=reply.get_integer(row, "memory"), disk=disk
        )
        for center in reply.find_rows(row, "dataCenters"):
            place = reply.get_text(center, "id")
            found.append(
                _make_offer(
                    f"{place}/{name.replace(' ', '_')}/{gpus}",
                    hardware,
                    reply.get_number(price, "secure") * gpus,
                    CONTAINER_GB,
                    available=reply.get_text(center, "availability") in STOCK_LEVELS,
                    location=f"{reply.get_text(center, 'name')}, {_find_country(place)}",
                    cuda=cuda,
                    provider_data={GPU: name, DATA_CENTER: place, CUDA: cuda},
                )
            )
    return found


def _find_country(data_center: str) -> str:
    """Return the country's code: ``US-TX-3`` is in the US, ``EU-RO-1`` in Romania."""
    first, _dash, rest = data_center.partition("-")
    return rest.partition("-")[0] if first in _CONTINENTS else first


def _make_offer(key: str, hardware: Hardware, price: Decimal, container: int, **more: Any) -> Offer:
    """Return an offer; ``price``: of its GPUs, 0 if it is not known. Its hardware's disk is what a stop keeps."""
    total = (
        UnitPrice(price + DISK_PRICE * (container + hardware.disk), USD)
        if price
        else UnitPrice.make_unknown(USD)
    )
    return Offer(
        key=key,
        provider="runpod",
        hardware=hardware,
        tariff=Metered(price=total, billing_increment=BILLING_INCREMENT),
        disk=DiskPrice(free=hardware.disk, price=UnitPrice(DISK_PRICE, USD), is_per_gpu=False),
        stopped_price=UnitPrice(STOPPED_DISK_PRICE * hardware.disk, USD),
        **more,
    )


def parse_pod(reply: RunpodReply, row: Mapping[str, Any]) -> Pod:
    mounts, gpu = reply.get_object(row, "mounts"), reply.get_object(row, "gpu") if row.get("gpu") else {}
    cpu = reply.get_object(row, "cpu") if row.get("cpu") else {}
    kept = (
        reply.get_integer(reply.get_object(mounts, "persistent"), "size") if mounts.get("persistent") else 0
    )
    hardware = Hardware(
        gpu=reply.get_text(gpu, "id"),
        gpus=reply.get_integer(gpu, "count") if gpu else 0,
        cpus=int(reply.find_number(gpu or cpu, "vcpuCount") or 0),
        memory=int(reply.find_number(gpu or cpu, "memory") or 0),
        disk=kept,
    )
    # The cost of a stopped pod is stated as 0, although its disk is billed.
    price, container = reply.get_number(row, "cost"), reply.get_integer(row, "disk")
    return Pod(
        id=reply.get_text(row, "id"),
        name=reply.get_text(row, "name"),
        status=reply.get_text(row, "status"),
        endpoint=_parse_endpoint(reply, row),
        created_at=reply.get_iso_time(row, "createdAt"),
        offer=_make_offer(reply.get_text(row, "id"), hardware, price, container),
    )


def _parse_endpoint(reply: RunpodReply, row: Mapping[str, Any]) -> Endpoint | None:
    """Return the pod's own address; None until its port is mapped. RunPod's SSH proxy cannot transfer files."""
    ssh = reply.get_object(row, "ssh")
    if ssh.get("direct") is None:
        return None
    direct = reply.get_object(ssh, "direct")
    host = reply.get_text(direct, "host").strip()
    try:
        return Endpoint(
            reply.get_text(direct, "username"),
            f"[{host}]" if ":" in host else host,
            reply.get_integer(direct, "port"),
        )
    except (ValueError, UsageError):
        raise reply.make_unexpected_response(_("an address that cannot be one")) from None
