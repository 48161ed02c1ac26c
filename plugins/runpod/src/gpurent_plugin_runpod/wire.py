"""The JSON of RunPod's REST API v2 <-> the domain model. No I/O. Source: its published OpenAPI document of 2026.

Prices are USD per hour, of one GPU; sizes are in GB; times are RFC 3339.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    Lease,
    LeaseState,
    Metered,
    Money,
    Offer,
    PluginContext,
    UnitPrice,
    Volume,
    VolumeOffer,
    make_state_error,
    parse_foreign_money,
)
from gpurent_plugin_runpod import _

NAME, SERVICE = "runpod", "RunPod"
# The service bills fractions of a cent.
USD = Currency("USD", 6)
KEYS_PATH, VOLUMES_PATH = "/v2/account/ssh-keys", "/v2/network-volumes"
REFUSALS = frozenset({400, 402, 403, 404, 422})
"""After these, a create has created nothing."""
CONTAINER_GB = 20
"""The pod's own disk, which is wiped when it stops."""
VOLUME_GB = 20
"""The disk that a stopped pod keeps, unless a larger one is wanted."""
HOURS_OF_MONTH = 720  # assumed: the documentation gives no length of a month
DISK_PRICE, STOPPED_DISK_PRICE = Decimal("0.10") / HOURS_OF_MONTH, Decimal("0.20") / HOURS_OF_MONTH
"""Of a GB in an hour: of both disks while the pod runs, of what it keeps while it is stopped."""
VOLUME_PRICE = UnitPrice(Decimal("0.07") / HOURS_OF_MONTH, USD)
"""Of a GB of a network volume in an hour; beyond 1000 GB it costs less."""
PAGES = {"token_field": "pagination", "token_param": "cursor"}
# What an offer's provider_data holds: the GPU's full name, the data center, the least CUDA version, a network volume.
GPU, DATA_CENTER, CUDA, VOLUME = "gpu", "data_center", "cuda", "volume"


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
        found = [self.body.get("detail"), *(errors if isinstance(errors, list) else ())]
        texts = [one.get("message") if isinstance(one, dict) else one for one in found]
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
        page = self.get_object(self.body, name)
        if page.get("hasNextPage") is False:
            return ""
        token = self.get_text(page, "nextCursor")
        if not token or page.get("hasNextPage") is not True:
            raise self.make_unexpected_response(_("a list that does not say whether and where it goes on"))
        return token


RunpodApi = JsonApi[RunpodReply]


def make_api(context: PluginContext) -> RunpodApi:
    return JsonApi(context, NAME, SERVICE, RunpodReply)


def parse_declared_balance(text: str) -> tuple[Money, datetime]:
    """Parse ``25.00 USD 2026-12-01T09:00:00Z``. Raises ``ValueError``."""
    amount, _space, time = text.strip().rpartition(" ")
    return parse_foreign_money(amount, USD), datetime.fromisoformat(time).astimezone()


def parse_offers(
    reply: RunpodReply, gpus: int, disk: int, cuda: str, volume: Volume | None = None
) -> Iterator[Offer]:
    """Parse the catalog: an offer for each GPU type and data center, whose price includes a disk of ``disk`` GB.

    With ``volume``, pods mount that, and have no such disk.
    """
    size = volume.size if volume is not None else disk
    for row in reply.get_rows("gpus"):
        name, price = reply.get_text(row, "id"), reply.get_object(row, "price")
        memory = reply.get_integer(row, "memory")
        hardware = Hardware(gpu=reply.get_text(row, "name"), gpus=gpus, gpu_memory=memory, disk=size)
        for center in reply.find_objects(row, "dataCenters"):
            place = reply.get_text(center, "id")
            yield _make_offer(
                f"{place}/{name.replace(' ', '_')}/{gpus}",
                hardware,
                reply.get_number(price, "secure") * gpus,
                CONTAINER_GB,
                0 if volume is not None else disk,
                available=reply.get_text(center, "availability") in ("LOW", "MEDIUM", "HIGH"),
                # The parts of EU-RO-1 and US-TX-3 are what a user may name.
                location=", ".join([reply.get_text(center, "name"), *place.split("-")[:2]]),
                cuda=cuda,
                volume_place=place,
                provider_data={
                    GPU: name,
                    DATA_CENTER: place,
                    CUDA: cuda,
                    VOLUME: volume.ref if volume is not None else "",
                },
            )


def _make_offer(
    key: str, hardware: Hardware, price: Decimal, container: int, kept: int, **more: Any
) -> Offer:
    """Return an offer; ``price``: of its GPUs, 0 if it is not known; ``kept``: GB that a stop keeps, and that it costs.

    Without those, its hardware's disk is a network volume, which costs nothing here.
    """
    total = price + DISK_PRICE * (container + kept)
    known = UnitPrice(total, USD) if price else UnitPrice.make_unknown(USD)
    return Offer(
        key=key,
        provider=NAME,
        hardware=hardware,
        tariff=Metered(price=known, billing_increment=timedelta(seconds=1)),
        disk=DiskPrice(
            free=hardware.disk,
            price=UnitPrice(DISK_PRICE, USD),
            is_per_gpu=False,
            maximum=None if kept else hardware.disk,
        ),
        stopped_price=UnitPrice(STOPPED_DISK_PRICE * kept, USD),
        **more,
    )


def parse_pod(reply: RunpodReply, row: Mapping[str, Any]) -> Lease:
    """Parse a pod of the account."""
    mounts, gpu = reply.get_object(row, "mounts"), reply.get_object(row, "gpu") if "gpu" in row else {}
    kept = reply.get_object(mounts, "persistent") if "persistent" in mounts else {"size": 0}
    hardware = Hardware(
        gpu=reply.get_text(gpu, "id"),
        gpus=reply.get_integer(gpu, "count") if gpu else 0,
        disk=reply.get_integer(kept, "size"),
    )
    # The cost of a stopped pod is stated as 0, although its disk is billed.
    price, container = reply.get_number(row, "cost"), reply.get_integer(row, "disk")
    ref, endpoint = reply.get_text(row, "id"), _parse_endpoint(reply, reply.get_object(row, "ssh"))
    state, note = _parse_state(reply.get_text(row, "status"), is_mapped=endpoint is not None)
    return Lease(
        id="",
        provider=NAME,
        offer=_make_offer(ref, hardware, price, container, hardware.disk),
        ref=ref,
        label=reply.get_text(row, "name"),
        state=state,
        note=note,
        endpoint=endpoint if state is LeaseState.READY else None,
        started_at=reply.get_iso_time(row, "createdAt"),
    )


def _parse_state(status: str, *, is_mapped: bool) -> tuple[LeaseState, str]:
    if status == "RUNNING" and is_mapped:
        return LeaseState.READY, ""
    states = {
        "PROVISIONING": (LeaseState.PROVISIONING, _("the pod is starting")),
        "STARTING": (LeaseState.PROVISIONING, _("the pod is starting")),
        # It is said to run before anything in it does.
        "RUNNING": (LeaseState.PROVISIONING, _("its SSH port is not mapped yet")),
        "EXITED": (LeaseState.STOPPED, _("its disk costs money until the pod is terminated")),
        "ERROR": (LeaseState.INTERRUPTED, _("RunPod reports an error; it may cost money all the same")),
        "TERMINATED": (LeaseState.RELEASED, _("terminated at RunPod")),
    }
    if status not in states:
        raise make_state_error(SERVICE, status, "/v2/pods")
    return states[status]


def _parse_endpoint(reply: RunpodReply, ssh: Mapping[str, Any]) -> Endpoint | None:
    """Return the pod's own address; None until its port is mapped. RunPod's SSH proxy cannot transfer files."""
    if ssh.get("direct") is None:
        return None
    direct = reply.get_object(ssh, "direct")
    user, host = reply.get_text(direct, "username"), reply.get_text(direct, "host")
    return reply.make_endpoint(user, host, direct.get("port"))


def parse_volume_offers(reply: RunpodReply) -> Iterator[VolumeOffer]:
    """Parse the data centers: those that have standard storage."""
    for row in reply.get_rows("dataCenters"):
        kinds = row.get("networkVolumeTypes")
        if isinstance(kinds, list) and "STANDARD" in kinds:
            place = reply.get_id(row)
            location = ", ".join([reply.get_text(row, "name"), *place.split("-")[:2]])
            yield VolumeOffer(
                provider=NAME, place=place, location=location, price=VOLUME_PRICE, minimum=10, maximum=4096
            )


def parse_volume(reply: RunpodReply, row: Mapping[str, Any]) -> Volume:
    """Parse a network volume of the account; the API states no price, nor when it was created."""
    size, is_standard = reply.get_integer(row, "size"), row.get("type") == "STANDARD"
    return Volume(
        provider=NAME,
        ref=reply.get_id(row),
        label=reply.get_text(row, "name"),
        place=reply.get_text(row, "dataCenter"),
        size=size,
        price=UnitPrice(VOLUME_PRICE.value * size, USD) if is_standard else None,
    )
