"""The calls of the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from gpurent.api import Evidence
from gpurent_plugin_prime.simulator import rows
from gpurent_plugin_prime.simulator.catalog import (
    DISK,
    MAX_DISK,
    Listing,
    describe_disk_offers,
    find_disk_cloud,
)
from gpurent_plugin_prime.simulator.state import (
    DISK_PRICE,
    MICROS,
    Disk,
    Pod,
    PrimeAccount,
    PrimeState,
)

API = "/api/v1"
POD_FIELDS = frozenset(
    {
        "name",
        "cloudId",
        "gpuType",
        "socket",
        "gpuCount",
        "diskSize",
        "vcpus",
        "memory",
        "maxPrice",
        "image",
        "customTemplateId",
        "dataCenterId",
        "country",
        "security",
        "envVars",
        "jupyterPassword",
        "sshKeyId",
        "autoRestart",
        "prepaidForHr",
    }
)
IMAGES = frozenset({"ubuntu_22_cuda_12", "cuda_12_6_pytorch_2_7", "cuda_12_4_pytorch_2_5"})
KEY_KINDS = ("ssh-rsa ", "ssh-ed25519 ", "ecdsa-sha2-", "sk-")


class PrimeRefusal(Exception):
    """A refusal as the service writes one: ``detail`` is text, or a list of checks that failed."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(str(detail))
        self.status = status
        self.body = {"detail": detail}


def invalid(place: str, text: str) -> PrimeRefusal:
    return PrimeRefusal(
        422, [{"type": "value_error", "loc": ["body", *place.split(".")], "msg": text, "input": None}]
    )


@frozen(kw_only=True)
class Call:
    account: PrimeAccount
    path: Mapping[str, Any]
    query: Mapping[str, Sequence[str]]
    body: Mapping[str, Any]

    def read_number(self, name: str, usual: int, least: int, most: int) -> int:
        text = self.query.get(name, [str(usual)])[0]
        if not text.isdecimal() or not text.isascii() or len(text) > 9 or not least <= int(text) <= most:
            raise invalid(name, f"Input should be a number from {least} to {most}")
        return int(text)


@frozen(kw_only=True)
class ApiRoute:
    method: str
    path: str
    handle: Callable[[Call], Awaitable[Mapping[str, Any]]]
    evidence: Evidence = Evidence.DOCUMENTED
    note: str = ""


@frozen
class PrimeRoutes:
    state: PrimeState

    def list_routes(self) -> Sequence[ApiRoute]:
        made = (
            ("GET", "/user/whoami", self._show_user),
            ("GET", "/availability/gpus", self._list_offers),
            ("GET", "/availability/multi-node", self._list_clusters),
            ("GET", "/availability/gpu-summary", self._list_gpus),
            ("GET", "/availability/disks", self._list_disk_offers),
            ("GET", "/pods/", self._list_pods),
            ("POST", "/pods/", self._create_pod),
            ("GET", "/pods/status", self._list_states),
            ("GET", "/pods/history", self._list_history),
            ("GET", "/pods/{id}", self._show_pod),
            ("DELETE", "/pods/{id}", self._delete_pod),
            ("GET", "/ssh_keys/", self._list_keys),
            ("POST", "/ssh_keys/", self._add_key),
            ("DELETE", "/ssh_keys/{id}", self._delete_key),
            ("GET", "/disks/", self._list_disks),
            ("POST", "/disks/", self._create_disk),
            ("DELETE", "/disks/{id}", self._delete_disk),
            ("GET", "/billing/wallet", self._show_wallet),
        )
        # Of the calls for disks, only the client's source was read.
        source, documented = Evidence.SOURCE, Evidence.DOCUMENTED
        return [
            ApiRoute(
                method=method,
                path=API + path,
                handle=handle,
                evidence=source if path.startswith("/disks") else documented,
            )
            for method, path, handle in made
        ]

    async def _show_user(self, call: Call) -> Mapping[str, Any]:
        user = {"id": call.account.user_id, "name": "Sandbox", "email": "user@sandbox.example", "scope": {}}
        return {"data": user, "status": "success"}

    # what there is

    async def _list_offers(self, call: Call) -> Mapping[str, Any]:
        page, size = call.read_number("page", 1, 1, 10**6), call.read_number("page_size", 100, 1, 100)
        kind = call.query.get("gpu_type", [""])[0]
        found = [row for row in self.state.describe_offers() if kind in ("", row["gpuType"])]
        return {"items": found[(page - 1) * size : page * size], "totalCount": len(found)}

    async def _list_disk_offers(self, call: Call) -> Mapping[str, Any]:
        page, size = call.read_number("page", 1, 1, 10**6), call.read_number("page_size", 100, 1, 100)
        found = describe_disk_offers(rows.make_usd(DISK_PRICE))
        return {"items": found[(page - 1) * size : page * size], "totalCount": len(found)}

    async def _list_clusters(self, call: Call) -> Mapping[str, Any]:
        return {"items": [], "totalCount": 0}

    async def _list_gpus(self, call: Call) -> Mapping[str, Any]:
        kinds = dict.fromkeys(listing.model.kind for listing in self.state.listings)
        return {kind: {} for kind in kinds}

    # pods

    async def _list_pods(self, call: Call) -> Mapping[str, Any]:
        hidden = self.state.hidden_until is not None and self.state.at < self.state.hidden_until
        there = [] if hidden else [pod for pod in call.account.pods if pod.status != "TERMINATED"]
        return _make_page(call, [rows.describe_pod(call.account, pod) for pod in reversed(there)])

    async def _show_pod(self, call: Call) -> Mapping[str, Any]:
        return rows.describe_pod(call.account, _get_pod(call))

    async def _list_states(self, call: Call) -> Mapping[str, Any]:
        wanted = call.query.get("pod_ids", [])
        found = [pod for ref in wanted if (pod := call.account.find_pod(ref)) is not None]
        return {"data": [rows.describe_status(pod) for pod in found], "status": "success"}

    async def _list_history(self, call: Call) -> Mapping[str, Any]:
        ended = [pod for pod in call.account.pods if pod.ended_at is not None]
        shown = [rows.describe_history(call.account, pod, self.state.at) for pod in reversed(ended)]
        return _make_page(call, shown)

    async def _create_pod(self, call: Call) -> Mapping[str, Any]:
        asked = call.body.get("pod")
        if not isinstance(asked, Mapping):
            raise invalid("pod", "Field required")
        if unknown := sorted(set(asked) - POD_FIELDS):
            raise invalid(f"pod.{unknown[0]}", "Extra inputs are not permitted")
        if not isinstance(call.body.get("provider"), Mapping):
            raise invalid("provider", "Field required")
        listing = self._find_listing(asked, str(call.body["provider"].get("type") or ""))
        disk = _read_integer(asked, "diskSize", DISK)
        if disk < DISK or disk > (MAX_DISK if listing.cloud.disk_price else DISK):
            raise invalid("pod.diskSize", "this disk size is not offered")
        image = asked.get("image") or "ubuntu_22_cuda_12"
        if image not in IMAGES:
            raise invalid("pod.image", "unknown image")
        key = None
        if (key_id := asked.get("sshKeyId")) is not None:
            key = call.account.keys.get(str(key_id))
            if key is None:
                raise PrimeRefusal(404, "SSH key not found")
        if call.account.compute_balance(self.state.at) < listing.price_with(disk) * MICROS:
            raise PrimeRefusal(402, "Insufficient balance. Please add funds to your wallet.")
        mounted = self._find_mounted(call, listing)
        if listing.left <= 0:
            raise PrimeRefusal(400, "The requested GPU is no longer available.")
        name = asked.get("name")
        made = self.state.create_pod(
            call.account, listing, name if isinstance(name, str) else "", disk, image, key, mounted
        )
        return rows.describe_pod(call.account, made)

    def _find_mounted(self, call: Call, listing: Listing) -> Disk | None:
        """Return the disk that the pod is created with; one at most is simulated, and only in its own data center."""
        wanted = call.body.get("disks") or []
        if not isinstance(wanted, Sequence) or isinstance(wanted, str) or len(wanted) > 1:
            raise invalid("disks", "Input should be a list of one disk")
        if not wanted:
            return None
        found = call.account.find_disk(wanted[0])
        if found is None:
            raise PrimeRefusal(404, "Disk not found")
        if found.cloud is not listing.cloud:
            raise PrimeRefusal(400, "The disk is in another data center than the pod.")
        return found

    def _find_listing(self, asked: Mapping[str, Any], provider: str) -> Listing:
        _read_integer(asked, "gpuCount", 0)
        for name in ("cloudId", "gpuType", "socket"):
            if not isinstance(asked.get(name), str):
                raise invalid(f"pod.{name}", "Field required")
        center = asked.get("dataCenterId")
        for listing in self.state.listings:
            wanted = (listing.cloud_id, listing.model.kind, listing.model.socket, listing.gpus)
            if (
                wanted == (asked["cloudId"], asked["gpuType"], asked["socket"], asked.get("gpuCount"))
                and provider in ("", listing.cloud.name)
                and center in (None, listing.cloud.center)
            ):
                return listing
        raise PrimeRefusal(400, "No such GPU configuration.")

    async def _delete_pod(self, call: Call) -> Mapping[str, Any]:
        pod = _get_pod(call)
        if pod.status == "TERMINATED":
            raise PrimeRefusal(404, "Pod not found")
        await self.state.delete(pod)
        return {"status": pod.status}

    # keys

    async def _list_keys(self, call: Call) -> Mapping[str, Any]:
        keys = call.account.keys.values()
        return _make_page(call, [rows.describe_key(call.account, key) for key in keys])

    async def _add_key(self, call: Call) -> Mapping[str, Any]:
        name, line = _read_text(call.body, "name"), _read_text(call.body, "publicKey").strip()
        if not line.startswith(KEY_KINDS) or len(line.splitlines()) != 1 or len(line.split()) < 2:
            raise invalid("publicKey", "Value error, not a public key")
        return rows.describe_key(call.account, self.state.add_key(call.account, name, line))

    async def _delete_key(self, call: Call) -> Mapping[str, Any]:
        """A pod that was created with it keeps it (assumed)."""
        if call.account.keys.pop(str(call.path["id"]), None) is None:
            raise PrimeRefusal(404, "SSH key not found")
        return {}

    # disks and money

    async def _list_disks(self, call: Call) -> Mapping[str, Any]:
        hidden = self.state.hidden_until is not None and self.state.at < self.state.hidden_until
        there = [] if hidden else [disk for disk in call.account.disks if disk.ended_at is None]
        return _make_page(call, [rows.describe_disk(call.account, disk) for disk in there])

    async def _create_disk(self, call: Call) -> Mapping[str, Any]:
        asked = call.body.get("disk", call.body)
        if not isinstance(asked, Mapping):
            raise invalid("disk", "Input should be an object")
        size, name = _read_integer(asked, "size", 0), asked.get("name")
        if not 1 <= size <= 10**5:
            raise invalid("size", "Input should be greater than 0")
        owner, center = call.body.get("provider"), asked.get("dataCenterId")
        cloud = find_disk_cloud(owner.get("type") if isinstance(owner, Mapping) else None, center)
        if cloud is None:
            raise invalid("provider.type", "no such storage")
        if call.account.compute_balance(self.state.at) < DISK_PRICE * size:
            raise PrimeRefusal(402, "Insufficient balance. Please add funds to your wallet.")
        made = self.state.create_disk(call.account, name if isinstance(name, str) else "disk", size, cloud)
        return rows.describe_disk(call.account, made)

    async def _delete_disk(self, call: Call) -> Mapping[str, Any]:
        found = call.account.find_disk(str(call.path["id"]))
        if found is None:
            raise PrimeRefusal(404, "Disk not found")
        if call.account.list_pods_on(found):
            raise PrimeRefusal(409, "The disk is attached to a pod.")
        await self.state.delete_account_disk(found)
        return {"status": "TERMINATED"}

    async def _show_wallet(self, call: Call) -> Mapping[str, Any]:
        limit, offset = call.read_number("limit", 20, 1, 100), call.read_number("offset", 0, 0, 10**8)
        return rows.describe_wallet(call.account, self.state.at, offset, limit)


def _make_page(call: Call, found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    offset, limit = call.read_number("offset", 0, 0, 10**8), call.read_number("limit", 100, 0, 10**6)
    page = found[offset : offset + limit]
    return {"total_count": len(found), "offset": offset, "limit": limit, "data": page, "status": "success"}


def _get_pod(call: Call) -> Pod:
    found = call.account.find_pod(str(call.path["id"]))
    if found is None:
        raise PrimeRefusal(404, "Pod not found")
    return found


def _read_text(body: Mapping[str, Any], name: str) -> str:
    found = body.get(name)
    if not isinstance(found, str) or not found.strip() or len(found) > 8192:
        raise invalid(name, "Field required")
    return found


def _read_integer(body: Mapping[str, Any], name: str, usual: int) -> int:
    found = body.get(name, usual)
    found = usual if found is None else found
    if isinstance(found, bool) or not isinstance(found, int):
        raise invalid(f"pod.{name}", "Input should be a valid integer")
    return found
