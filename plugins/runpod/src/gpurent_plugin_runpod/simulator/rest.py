"""The routes of the REST API v2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gpurent.api import Evidence
from gpurent_plugin_runpod import _
from gpurent_plugin_runpod.simulator import bills, wishes
from gpurent_plugin_runpod.simulator.calls import ApiRoute, Call, Created, make_page
from gpurent_plugin_runpod.simulator.pods import RunpodPod
from gpurent_plugin_runpod.simulator.problem import LOW_BALANCE, Problem, invalid_body
from gpurent_plugin_runpod.simulator.state import NetworkVolume, RunpodState
from gpurent_plugin_runpod.simulator.stock import CENTERS, CPUS, GPUS, make_usd, select_cuda

_FILTERS = {"product", "count", "cloud", "countryCodes", "cudaVersions", "minCudaVersion", "vcpuCount"}


class RestRoutes:
    def __init__(self, state: RunpodState) -> None:
        self._state = state

    def list_routes(self) -> list[ApiRoute]:
        pod, volume, key = "/v2/pods/{id}", "/v2/network-volumes/{id}", "/v2/account/ssh-keys"
        assumed_pages = _("pages as clients of 2026 read them")
        routes: list[tuple[str, str, Any, Evidence, str]] = [
            ("GET", "/v2/catalog/gpus", self._list_gpus, Evidence.DOCUMENTED, ""),
            ("GET", "/v2/catalog/cpus", self._list_cpus, Evidence.DOCUMENTED, _("stock is unlimited")),
            ("GET", "/v2/catalog/datacenters", self._list_centers, Evidence.DOCUMENTED, ""),
            ("GET", "/v2/pods", self._list_pods, Evidence.SOURCE, assumed_pages),
            (
                "POST",
                "/v2/pods",
                self._create,
                Evidence.DOCUMENTED,
                _("that a create takes the price of an hour, and its words, are from reports of users"),
            ),
            ("GET", pod, self._get, Evidence.DOCUMENTED, ""),
            ("PATCH", pod, self._patch, Evidence.DOCUMENTED, _("name and lock alone")),
            ("DELETE", pod, self._terminate, Evidence.DOCUMENTED, ""),
            (
                "POST",
                pod + "/action",
                self._act,
                Evidence.DOCUMENTED,
                _("which state allows what is assumed in part"),
            ),
            ("GET", key, self._list_keys, Evidence.DOCUMENTED, ""),
            ("PUT", key, self._replace_keys, Evidence.DOCUMENTED, _("replaces the whole set")),
            ("GET", "/v2/network-volumes", self._list_volumes, Evidence.DOCUMENTED, assumed_pages),
            ("POST", "/v2/network-volumes", self._create_volume, Evidence.DOCUMENTED, ""),
            ("GET", volume, self._get_volume, Evidence.DOCUMENTED, ""),
            (
                "DELETE",
                volume,
                self._delete_volume,
                Evidence.DOCUMENTED,
                _("that it is refused while in use is assumed"),
            ),
            ("GET", "/v2/billing", self._bill_all, Evidence.DOCUMENTED, ""),
            (
                "GET",
                "/v2/billing/pods",
                self._bill_pods,
                Evidence.DOCUMENTED,
                _("all records in one answer (assumed)"),
            ),
            ("GET", "/v2/billing/network-volumes", self._bill_volumes, Evidence.DOCUMENTED, ""),
        ]
        return [
            ApiRoute(method=method, path=path, handle=handle, evidence=evidence, note=note)
            for method, path, handle, evidence, note in routes
        ]

    # catalog

    async def _list_gpus(self, call: Call) -> Mapping[str, Any]:
        asks = self._check_availability(call)
        count, least = int(call.query.get("count", "1")), call.query.get("minCudaVersion", "")
        exact = tuple(filter(None, call.query.get("cudaVersions", "").split(",")))
        countries = set(filter(None, call.query.get("countryCodes", "").split(",")))
        rows = [
            self._state.stock.describe_gpu(
                gpu, count, select_cuda(gpu, least, exact) if asks else None, countries
            )
            for gpu in GPUS
        ]
        return {"gpus": [row for row in rows if not countries or "dataCenters" in row]}

    def _check_availability(self, call: Call) -> bool:
        """Return whether availability is asked for. Raises `Problem`."""
        query, asks = call.query, "include" in call.query
        if asks and query["include"] != "AVAILABILITY":
            raise invalid_body("include: AVAILABILITY")
        if asks != ("product" in query) or (not asks and query.keys() & _FILTERS):
            raise Problem(400, "product and filters need include=AVAILABILITY, and that needs product")
        if "minCudaVersion" in query and "cudaVersions" in query:
            raise Problem(400, "cudaVersions and minCudaVersion are mutually exclusive")
        count = query.get("count", "1")
        if not count.isdecimal() or not count.isascii() or not 1 <= int(count) <= 1000:
            raise invalid_body("count: minimum 1")
        versions = [query.get("minCudaVersion", "1"), *filter(None, query.get("cudaVersions", "").split(","))]
        if not all(re.fullmatch(r"\d{1,4}(\.\d{1,4})?", version, re.ASCII) for version in versions):
            raise invalid_body("minCudaVersion: is no version")
        if query.get("cloud", "SECURE") not in ("SECURE", "COMMUNITY"):
            raise invalid_body("cloud: SECURE or COMMUNITY")
        return asks

    async def _list_cpus(self, call: Call) -> Mapping[str, Any]:
        asks = self._check_availability(call)
        centers = [{"id": one.id, "name": one.name, "availability": "HIGH"} for one in CENTERS]
        more = {"availability": "HIGH", "dataCenters": centers} if asks else {}
        return {
            "cpus": [
                {
                    "id": cpu.id,
                    "name": cpu.name,
                    "group": cpu.group,
                    "vcpu": {"min": 2, "max": 32},
                    "ramGbPerVcpu": cpu.memory_per_vcpu,
                    "price": {"securePerVcpu": make_usd(cpu.price), "serverlessPerVcpu": make_usd(cpu.price)},
                    **more,
                }
                for cpu in CPUS
            ]
        }

    async def _list_centers(self, call: Call) -> Mapping[str, Any]:
        return {
            "dataCenters": [
                {
                    "id": center.id,
                    "name": center.name,
                    "region": center.region,
                    "networkVolumeTypes": list(center.volume_types),
                    "compliance": [],
                    "globalNetwork": False,
                }
                for center in CENTERS
            ]
        }

    # pods

    async def _list_pods(self, call: Call) -> Mapping[str, Any]:
        now, hidden = self._state.at, self._state.hidden_until
        owned = [] if hidden and now < hidden else call.account.list_pods()
        rows = sorted((pod.describe(now) for pod in owned), key=lambda row: str(row["id"]))
        return make_page(call, "pods", rows, self._state.longest_page)

    async def _create(self, call: Call) -> Created:
        made = self._state.create_pod(call.account, wishes.parse_wish(call.body))
        return Created(made.describe(self._state.at))

    async def _get(self, call: Call) -> Mapping[str, Any]:
        return self._show(call.account.get_pod(call.id))

    def _show(self, pod: RunpodPod) -> Mapping[str, Any]:
        return pod.describe(self._state.at)

    async def _patch(self, call: Call) -> Mapping[str, Any]:
        pod = call.account.get_pod(call.id)
        body = wishes.check_body(call.body, wishes.PATCH)
        pod.name, pod.locked = body.get("name", pod.name), body.get("locked", pod.locked)
        return self._show(pod)

    async def _terminate(self, call: Call) -> None:
        await self._state.life.terminate(call.account.get_pod(call.id), self._state.at)

    async def _act(self, call: Call) -> Mapping[str, Any] | None:
        pod = call.account.get_pod(call.id)
        action = wishes.check_body(call.body, wishes.ACTION, "action")["action"]
        if action not in pod.actions:
            raise Problem(409, f"action {action} is not allowed while the pod is {pod.status}")
        life, at = self._state.life, self._state.at
        if action == "terminate":
            await life.terminate(pod, at)
            return None
        if action == "stop":
            await life.stop(pod, at)
        elif action == "restart":
            await life.restart(pod, at)
        else:
            if call.account.balance < pod.wish.price:
                raise Problem(402, LOW_BALANCE)
            life.start(pod, at)
        return self._show(pod)

    # keys

    async def _list_keys(self, call: Call) -> Mapping[str, Any]:
        return {"keys": list(call.account.keys)}

    async def _replace_keys(self, call: Call) -> Mapping[str, Any]:
        keys = list(wishes.check_body(call.body, wishes.KEYS, "keys")["keys"])
        if call.account.rival_writes:
            call.account.rival_writes -= 1
        else:
            call.account.keys = keys
        return {"keys": keys}

    # network volumes

    async def _list_volumes(self, call: Call) -> Mapping[str, Any]:
        now, hidden = self._state.at, self._state.hidden_until
        owned = [] if hidden and now < hidden else call.account.list_volumes()
        rows = [_describe_volume(volume) for volume in owned]
        return make_page(call, "networkVolumes", rows, self._state.longest_page)

    async def _create_volume(self, call: Call) -> Created:
        body = wishes.check_body(call.body, wishes.VOLUME, "name", "size", "dataCenter")
        kind = body.get("type", "STANDARD")
        made = self._state.create_volume(call.account, body["name"], body["size"], body["dataCenter"], kind)
        return Created(_describe_volume(made))

    async def _get_volume(self, call: Call) -> Mapping[str, Any]:
        return _describe_volume(call.account.get_volume(call.id))

    async def _delete_volume(self, call: Call) -> None:
        await self._state.delete_volume(call.account, call.account.get_volume(call.id))

    # billing

    async def _bill_all(self, call: Call) -> Mapping[str, Any]:
        return bills.list_billing(call.account.bookings, call.query, self._state.at, bills.ALL_FIELDS)

    async def _bill_pods(self, call: Call) -> Mapping[str, Any]:
        return bills.list_billing(
            call.account.bookings, call.query, self._state.at, bills.POD_FIELDS, "podId"
        )

    async def _bill_volumes(self, call: Call) -> Mapping[str, Any]:
        fields = bills.VOLUME_FIELDS
        return bills.list_billing(
            call.account.bookings, call.query, self._state.at, fields, "networkVolumeId"
        )


def _describe_volume(volume: NetworkVolume) -> dict[str, Any]:
    return {
        "id": volume.id,
        "name": volume.name,
        "size": volume.size,
        "dataCenter": volume.center,
        "type": volume.kind,
    }
