"""RunPod's network volumes: storage in one data center, which pods there mount in place of a disk of their own."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from attrs import frozen

from gpurent.api import (
    Known,
    Spent,
    Unknown,
    Volume,
    VolumeOffer,
    VolumeRegister,
    VolumeState,
    make_credit_error,
    make_volume_error,
    make_volume_in_use_error,
    quote_reason,
)
from gpurent_plugin_runpod import _, wire


@frozen
class RunpodVolumes(VolumeRegister):
    """Network volumes; one is found by its name, which is our label."""

    api: wire.RunpodApi

    async def list_offers(self) -> Known[VolumeOffer] | Unknown:
        reply = await self.api.call_checked("GET", "/v2/catalog/datacenters")
        return Known(tuple(wire.parse_volume_offers(reply)))

    async def fetch_volumes(self) -> Sequence[Volume]:
        pages = self.api.read_pages(wire.VOLUMES_PATH, {"limit": "100"}, **wire.PAGES)
        return [
            wire.parse_volume(page, row) async for page in pages for row in page.get_rows("networkVolumes")
        ]

    async def send_volume(self, volume: Volume) -> str:
        body = {"name": volume.label, "size": volume.size, "dataCenter": volume.place}
        reply = await self.api.call("POST", wire.VOLUMES_PATH, json=body, spent=Spent.UNKNOWN)
        if reply.status == 402:
            raise make_credit_error(wire.NAME, wire.SERVICE, reply.message)
        if reply.status in wire.REFUSALS:
            raise make_volume_error(wire.SERVICE, reply.message)
        if reply.error:
            raise reply.make_unexpected_response(quote_reason(reply.message))
        made = wire.parse_volume(reply, reply.body)
        if made.label != volume.label:
            raise reply.make_unexpected_response(_("another volume than the one asked for"))
        return made.ref

    async def remove_volume(self, ref: str) -> VolumeState | None:
        path = f"{wire.VOLUMES_PATH}/{quote(ref, safe='')}"
        reply = await self.api.call("DELETE", path, spent=Spent.YES)
        if reply.is_missing:
            return None
        if reply.status in (400, 409):
            raise make_volume_in_use_error(wire.SERVICE, reply.message)
        if reply.status != 204:
            raise reply.make_unexpected_response(_("it does not say that it did it"), Spent.UNKNOWN)
        return VolumeState.DELETED
