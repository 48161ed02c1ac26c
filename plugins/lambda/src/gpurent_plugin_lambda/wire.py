"""The JSON of the Lambda Cloud API <-> the domain model. No I/O. Source: its OpenAPI document 1.10.0 of 2026.

Prices are US cents per hour, sizes GiB. An answer is ``{"data": …}`` or ``{"error": {"code", "message"}}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from attrs import frozen

from gpurent.api import (
    Currency,
    Endpoint,
    Hardware,
    JsonApi,
    JsonReply,
    Metered,
    Offer,
    PluginContext,
    UnitPrice,
    UsageError,
    quote_text,
)
from gpurent_plugin_lambda import _

NAME = "lambda"
SERVICE = "Lambda Cloud"
# A minute costs fractions of a cent.
USD = Currency("USD", 6)
USER = "ubuntu"
BILLING_INCREMENT = timedelta(minutes=1)
MAX_NAME_LENGTH = 64
INSTANCES_PATH = "/api/v1/instances"
TYPES_PATH = "/api/v1/instance-types"
KEYS_PATH = "/api/v1/ssh-keys"
EVENTS_PATH = "/api/v1/audit-events"
LAUNCH_PATH = "/api/v1/instance-operations/launch"
TERMINATE_PATH = "/api/v1/instance-operations/terminate"
INVALID_KEY = "global/invalid-api-key"
NO_OBJECT = "global/object-does-not-exist"
NO_CAPACITY = "instance-operations/launch/insufficient-capacity"
LAUNCH_REFUSALS = frozenset(
    {
        "global/quota-exceeded",
        "global/invalid-parameters",
        NO_OBJECT,
        "instance-operations/launch/file-system-in-wrong-region",
    }
)
# The account may rent nothing until its owner has changed something.
ACCOUNT_ERRORS = frozenset({"global/account-inactive", "global/invalid-address"})
GPU = re.compile(r"(?P<name>[^()]+?)\s*(?:\((?P<memory>\d{1,4}) GB[^)]*\))?\s*")


@frozen(kw_only=True)
class LambdaReply(JsonReply):
    @property
    def error(self) -> str:
        if self.status < 400:
            return ""
        found = self._refusal.get("code")
        return found if isinstance(found, str) and found else f"http-{self.status}"

    @property
    def rejects_login(self) -> bool:
        return self.error == INVALID_KEY

    @property
    def message(self) -> str:
        found = [self._refusal.get("message"), self._refusal.get("suggestion")]
        return " ".join(text for text in found if isinstance(text, str) and text) or self.error

    @property
    def _refusal(self) -> Mapping[str, Any]:
        found = self.body.get("error")
        return found if isinstance(found, dict) else {}

    def get_name(self, row: Row, name: str) -> str:
        """Return a text that is not empty."""
        found = self.get_text(row, name)
        if not found:
            raise self.make_unexpected_response(_("{name} is empty").format(name=name))
        return found


LambdaApi = JsonApi[LambdaReply]
Row = Mapping[str, Any]


def make_api(context: PluginContext) -> LambdaApi:
    return JsonApi(context, NAME, SERVICE, LambdaReply)


@frozen(kw_only=True)
class Instance:
    """A machine of the account; ``status`` as the service names it."""

    id: str
    name: str
    status: str
    endpoint: Endpoint | None
    offer: Offer


def parse_key(key: str) -> tuple[str, str]:
    """Return instance type and region of an offer; raises `UsageError` for anything else."""
    found = re.fullmatch(r"([a-z0-9_]{1,80})@([a-z0-9-]{1,40})", key, re.ASCII)
    if found is None:
        raise UsageError(_("{key} is no offer of Lambda Cloud").format(key=quote_text(key)))
    return found[1], found[2]


def parse_offers(reply: LambdaReply) -> list[Offer]:
    """Parse the types of machines with a GPU: one offer for each region that has some, or one that is taken."""
    found = []
    for name, item in reply.get_object(reply.body, "data").items():
        if not isinstance(item, dict):
            raise reply.make_unexpected_response(_("{name} is no object").format(name=name))
        kind = reply.get_object(item, "instance_type")
        if not reply.get_integer(reply.get_object(kind, "specs"), "gpus"):
            continue
        regions: Any = item.get("regions_with_capacity_available")
        if not isinstance(regions, list) or not all(isinstance(region, dict) for region in regions):
            raise reply.make_unexpected_response(_("the regions are no list of objects"))
        found += [_parse_offer(reply, kind, region) for region in regions or [{}]]
    return found


def _parse_offer(reply: LambdaReply, kind: Row, region: Row) -> Offer:
    """Parse an offer of a type in a region; without one, it is not available."""
    name, place = reply.get_name(kind, "name"), reply.get_text(region, "name")
    cents = reply.get_integer(kind, "price_cents_per_hour")
    return Offer(
        key=f"{name}@{place}" if place else name,
        provider=NAME,
        hardware=_parse_hardware(reply, kind),
        tariff=Metered(price=UnitPrice(Decimal(cents) / 100, USD), billing_increment=BILLING_INCREMENT),
        available=bool(place),
        location=f"{reply.get_text(region, 'description')} ({place})" if place else "",
    )


def _parse_hardware(reply: LambdaReply, kind: Row) -> Hardware:
    specs = reply.get_object(kind, "specs")
    gpu = GPU.fullmatch(reply.get_text(kind, "gpu_description"))
    return Hardware(
        gpu=gpu["name"] if gpu else reply.get_text(kind, "gpu_description"),
        gpus=reply.get_integer(specs, "gpus"),
        gpu_memory=int(gpu["memory"] or 0) if gpu else 0,
        cpus=reply.get_integer(specs, "vcpus"),
        memory=reply.get_integer(specs, "memory_gib"),
        disk=reply.get_integer(specs, "storage_gib"),
    )


def parse_instance(reply: LambdaReply, row: Row) -> Instance:
    kind, region = reply.get_object(row, "instance_type"), reply.get_object(row, "region")
    return Instance(
        id=reply.get_id(row),
        name=reply.get_text(row, "name"),
        status=reply.get_name(row, "status"),
        endpoint=_parse_endpoint(reply, row),
        offer=_parse_offer(reply, kind, region),
    )


def _parse_endpoint(reply: LambdaReply, row: Row) -> Endpoint | None:
    """Return its SSH server, on port 22; the sandbox, whose machines share one address, states another port."""
    host, _colon, port = reply.get_text(row, "ip").strip().partition(":")
    if not host:
        return None
    try:
        return Endpoint(USER, host, int(port) if port else 22)
    except (ValueError, UsageError):
        raise reply.make_unexpected_response(_("an address that cannot be one")) from None
