"""The JSON of Tern Cloud as values of gpurent. Pure: no network, no clock, no floats.

The service counts in cents. Its megabytes are multiples of 1024, so its gigabytes are taken for GiB.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gpurent.api import (
    USD,
    Charge,
    ChargeKind,
    Hardware,
    JsonReply,
    Lease,
    LeaseState,
    Metered,
    Offer,
    UnitPrice,
    make_state_error,
)

from gpurent_plugin_tern import _
from gpurent_plugin_tern.plugin import NAME

SERVICE = "Tern Cloud"
STATES = {
    "starting": LeaseState.PROVISIONING,
    "running": LeaseState.READY,
    "deleting": LeaseState.RELEASING,
}
# A deposit at Tern Cloud is the user's own money that came in: nothing is held.
CHARGE_KINDS = {"usage": ChargeKind.USAGE, "deposit": ChargeKind.TOP_UP}
Row = Mapping[str, Any]


class TernReply(JsonReply):
    """An answer; a refusal has the service's own code of it."""

    @property
    def error(self) -> str:
        # What fails without a code, such as a gateway's 404, says nothing of what was asked for.
        return self.get_text(self.body, "error") or super().error

    @property
    def rejects_login(self) -> bool:
        return self.status == 401 and self.error == "bad_token"

    @property
    def is_gone(self) -> bool:
        return self.error == "not_found"


def parse_offers(reply: TernReply) -> Sequence[Offer]:
    return [
        Offer(
            key=reply.get_id(row),
            provider=NAME,
            hardware=Hardware(
                gpu=reply.get_text(row, "gpu"),
                gpus=reply.get_integer(row, "gpus"),
                gpu_memory=reply.get_integer(row, "vram_mb") // 1024,
                cpus=reply.get_integer(row, "vcpus"),
                memory=reply.get_integer(row, "ram_mb") // 1024,
                disk=reply.get_integer(row, "disk_gb"),
            ),
            tariff=parse_tariff(reply, row),
            available=reply.get_integer(row, "available") > 0,
            location=reply.get_text(row, "region"),
        )
        for row in reply.get_rows("offers")
    ]


def parse_tariff(reply: TernReply, row: Row) -> Metered:
    return Metered(price=UnitPrice(reply.get_minor_units(row, "cents_per_hour", USD).decimal, USD))


def parse_machine(reply: TernReply, row: Row) -> Lease:
    """Return a machine of the account; of its hardware, the service says nothing here."""
    state = reply.get_text(row, "state")
    if state not in STATES:
        raise make_state_error(SERVICE, state, reply.url)
    offer = Offer(
        key=reply.get_id(row, "offer_id"),
        provider=NAME,
        hardware=Hardware(),
        tariff=parse_tariff(reply, row),
    )
    endpoint = None
    if state == "running":
        user, host = reply.get_text(row, "user"), reply.get_text(row, "ip")
        endpoint = reply.make_endpoint(user, host, row.get("port"))
    return Lease(
        id="",
        provider=NAME,
        offer=offer,
        state=STATES[state],
        ref=reply.get_id(row),
        label=reply.get_text(row, "label"),
        endpoint=endpoint,
        started_at=reply.require_iso_time(row, "created_at"),
    )


def parse_charges(reply: TernReply) -> Sequence[tuple[str, Charge]]:
    """Return each charge with the id of its machine."""
    return [
        (reply.get_text(row, "machine_id"), parse_charge(reply, row)) for row in reply.get_rows("charges")
    ]


def parse_charge(reply: TernReply, row: Row) -> Charge:
    kind = CHARGE_KINDS.get(reply.get_text(row, "kind"))
    if kind is None:
        raise reply.make_unexpected_response(_("a charge of an unknown kind"))
    return Charge(
        at=reply.require_iso_time(row, "at"),
        kind=kind,
        money=reply.get_minor_units(row, "cents", USD),
        ref=reply.get_id(row),
    )
