"""RunPod's pods: offers of its catalog, one create with our label, and what the API says of the pod."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from attrs import evolve

from gpurent.api import (
    Absent,
    GpurentError,
    Known,
    Lease,
    LeaseError,
    Offer,
    Order,
    PluginContext,
    Requirements,
    SoldOut,
    Spent,
    SupportsStart,
    SupportsStop,
    Unknown,
    VolumeProvider,
    add_access_source,
    add_access_sources,
    make_credit_error,
    make_release_error,
    quote_reason,
)
from gpurent_plugin_runpod import _, wire
from gpurent_plugin_runpod.keys import AccountKeys
from gpurent_plugin_runpod.volumes import RunpodVolumes

# No machine-readable code tells these from a malformed order; both are answered with status 400.
SOLD_OUT_WORDS = ("no longer any instances", "not have the resources", "not enough free")
# What provider_data holds.
PUBLIC_KEY, IMAGE = "public_key", "image"
DATA_DIR = "/workspace"


class RunpodProvider(VolumeProvider, SupportsStop, SupportsStart):
    """RunPod as a provider. A pod is found by its name, which is the order's key."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context, wire.SERVICE)
        self._context, self._url = context, context.settings["url"]
        self._client = wire.make_api(context)
        self._keys = AccountKeys(context, self._client)
        self.volume_register = RunpodVolumes(self._client)

    # offers and orders

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        if requirements.spot or requirements.cpu_only:
            return Known(())
        gpus, disk = max(1, requirements.gpus), max(wire.VOLUME_GB, requirements.disk)
        params = {"include": "AVAILABILITY", "product": "POD", "cloud": "SECURE", "count": str(gpus)}
        if requirements.cuda:
            params["minCudaVersion"] = requirements.cuda
        reply = await self._client.call_checked("GET", "/v2/catalog/gpus", params=params)
        found = wire.parse_offers(reply, gpus, disk, requirements.cuda, requirements.mounted)
        wanted = requirements.machine
        return Known(tuple(offer for offer in found if not wanted or offer.key == wanted))

    async def reserve_lease(self, order: Order) -> Lease:
        cuda, gpus = order.offer.provider_data.get(wire.CUDA, ""), order.offer.hardware.gpus
        wanted = Requirements(
            machine=order.offer.key, gpus=gpus, disk=order.disk, cuda=cuda, mounted=order.volume
        )
        facts = {PUBLIC_KEY: order.public_key, IMAGE: order.image or self._context.settings["image"]}
        return await self.reserve_offer(order, wanted, wire.USD, facts)

    async def create_machine(self, lease: Lease) -> str:
        facts = lease.offer.provider_data
        gpu = {"id": facts[wire.GPU], "count": lease.offer.hardware.gpus}
        if facts.get(wire.CUDA):
            gpu["minCudaVersion"] = facts[wire.CUDA]
        mounts: dict[str, Any] = {"persistent": {"size": lease.offer.hardware.disk, "path": DATA_DIR}}
        if facts.get(wire.VOLUME):
            mounts = {"network": [{"volumeId": facts[wire.VOLUME], "path": DATA_DIR}]}
        body = {
            "name": lease.label,
            "image": lease.provider_data[IMAGE],
            "cloud": "SECURE",
            "gpu": gpu,
            "dataCenterIds": [facts[wire.DATA_CENTER]],
            "disk": wire.CONTAINER_GB,
            "mounts": mounts,
            "ports": ["22/tcp"],
            "startSsh": True,
        }
        async with self._keys.hold_key(lease.provider_data[PUBLIC_KEY]):
            reply = await self._client.call("POST", "/v2/pods", json=body, spent=Spent.UNKNOWN)
        if not reply.error:
            pod = wire.parse_pod(reply, reply.body)
            if pod.ref and pod.label == lease.label:
                return pod.ref
            raise reply.make_unexpected_response(_("a created pod without its id or name"))
        if _is_sold_out(reply):
            return ""
        raise _make_refusal(lease, reply)

    async def find_machine(self, label: str) -> str:
        found = [(str(pod.started_at), pod.ref) for pod in await self._list_pods() if pod.label == label]
        return min(found)[1] if found else ""

    async def _list_pods(self) -> list[Lease]:
        """Return the account's pods that were not terminated; those of its clusters are no machines of their own."""
        pages = self._client.read_pages("/v2/pods", {"limit": "100"}, **wire.PAGES)
        found = [wire.parse_pod(page, row) async for page in pages for row in page.get_rows("pods")]
        return [pod for pod in found if not pod.is_over]

    # leases

    async def refresh_machine(self, lease: Lease) -> Lease | Absent:
        reply = await self._client.call("GET", _make_path(lease))
        if reply.is_missing:
            return Absent()
        if reply.error:
            raise reply.make_unexpected_response(quote_reason(reply.message))
        pod = wire.parse_pod(reply, reply.body)
        if pod.ref != lease.ref:
            raise reply.make_unexpected_response(_("another pod than the one asked for"))
        seen = self.apply_listed(lease, evolve(pod, access_source=lease.access_source))
        return await add_access_source(self._context, seen, self._url)

    async def release_machine(self, lease: Lease) -> Lease | Absent:
        reply = await self._client.call("DELETE", _make_path(lease), spent=Spent.YES)
        if reply.error and not reply.is_missing:
            raise make_release_error(wire.SERVICE, reply.message, (lease.id,))
        if not reply.error and reply.status != 204:
            raise reply.make_unexpected_response(_("it does not say that it did it"), Spent.UNKNOWN)
        if key := lease.provider_data.get(PUBLIC_KEY):
            await self._keys.remove_key(key)
        if reply.error:
            return Absent()
        return self.make_released(lease, _("terminated at RunPod"))

    async def list_leases(self) -> Known[Lease] | Unknown:
        return Known(tuple(await add_access_sources(self._context, await self._list_pods(), self._url)))

    async def stop_lease(self, lease: Lease) -> Lease | Absent:
        return await self._act(lease, "stop")

    async def start_lease(self, lease: Lease) -> Lease | Absent:
        return await self._act(lease, "start")

    async def _act(self, lease: Lease, action: str) -> Lease | Absent:
        """Ask for a change; what the pod is then, and not the answer, says whether it was done."""
        path, body = f"{_make_path(lease)}/action", {"action": action}
        reply = await self._client.call("POST", path, json=body, spent=Spent.UNKNOWN)
        why = quote_reason(reply.message)
        if _is_sold_out(reply):
            text = _("others use the GPUs of this pod's host: {why}").format(why=why)
            raise SoldOut(text, spent=Spent.NO, burning=(lease.id,))
        # 409: not allowed in the pod's state, which may be the wanted one.
        if reply.error and reply.status != 409 and not reply.is_missing:
            raise _make_refusal(lease, reply)
        seen = await self.refresh_lease(lease)
        if reply.status == 409 and isinstance(seen, Lease) and seen.is_stopped != (action == "stop"):
            raise LeaseError(_("RunPod refused it: {why}").format(why=why), burning=(lease.id,))
        return seen


def _make_path(lease: Lease) -> str:
    return f"/v2/pods/{quote(lease.ref, safe='')}"


def _is_sold_out(reply: wire.RunpodReply) -> bool:
    return reply.status == 400 and any(words in reply.message for words in SOLD_OUT_WORDS)


def _make_refusal(lease: Lease, reply: wire.RunpodReply) -> GpurentError:
    if reply.status == 402:
        return make_credit_error(wire.NAME, wire.SERVICE, reply.message)
    why = quote_reason(reply.message)
    if reply.status in wire.REFUSALS:
        return LeaseError(_("RunPod rejected the order: {why}").format(why=why), spent=Spent.NO)
    return reply.make_unexpected_response(why, Spent.UNKNOWN)
