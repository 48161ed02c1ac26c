"""Prime Intellect's disks: storage of one cloud in one data center, which pods there are created with."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from gpurent.api import (
    Known,
    Spent,
    Unknown,
    Volume,
    VolumeOffer,
    VolumeRegister,
    VolumeState,
    make_volume_error,
    make_volume_in_use_error,
    quote_reason,
)
from gpurent_plugin_prime import _, wire


@frozen
class PrimeVolumes(VolumeRegister):
    """Disks; one is found by its name, which is our label."""

    api: wire.PrimeApi

    async def list_offers(self) -> Known[VolumeOffer] | Unknown:
        rows = self.api.read_rows(wire.DISK_OFFERS_PATH, wire.OFFERS)
        found = [wire.parse_volume_offer(reply, row) async for reply, row in rows]
        return Known(tuple({offer.place: offer for offer in found if offer is not None}.values()))

    async def fetch_volumes(self) -> Sequence[Volume]:
        rows = self.api.read_rows(wire.DISKS_PATH, wire.LIST)
        found = [wire.parse_volume(reply, row) async for reply, row in rows]
        return [volume for volume in found if not volume.is_over]

    async def send_volume(self, volume: Volume) -> str:
        disk = {"name": volume.label, "size": volume.size}
        for name in wire.DISK_FIELDS:
            disk[name] = volume.provider_data.get(name) or None
        body = {"disk": disk, "provider": {"type": volume.provider_data[wire.OWNER]}}
        reply = await self.api.call("POST", wire.DISKS_PATH, json=body, spent=Spent.UNKNOWN)
        # What a check of the request refuses, or the wallet, was not created; anything else may have been.
        if reply.status in (402, 422):
            raise make_volume_error(wire.SERVICE, reply.message)
        if reply.error:
            raise reply.make_unexpected_response(quote_reason(reply.message))
        return reply.get_id(reply.body)

    async def remove_volume(self, ref: str) -> VolumeState | None:
        reply = await self.api.call("DELETE", f"{wire.DISKS_PATH}{ref}", spent=Spent.YES)
        if reply.is_missing:
            return None
        if reply.status in (400, 409):
            raise make_volume_in_use_error(wire.SERVICE, reply.message)
        if reply.error or reply.get_text(reply.body, "status") not in ("DELETING", "TERMINATED"):
            raise reply.make_unexpected_response(
                _("it does not say that the disk was deleted"), Spent.UNKNOWN
            )
        # Until the list no longer has it.
        return VolumeState.DELETING
