"""The GraphQL API: what RunPod's Python client 1.12 asks, over the same state as the REST API."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from gpurent_plugin_runpod.simulator.graph_query import QueryError, Selection, parse_query, project
from gpurent_plugin_runpod.simulator.pods import PodWish
from gpurent_plugin_runpod.simulator.problem import Problem
from gpurent_plugin_runpod.simulator.state import RunpodAccount, RunpodState
from gpurent_plugin_runpod.simulator.stock import GPUS, GpuType, find_cpu, find_gpu, make_usd

DEFAULT_IMAGE = "runpod/base:0.0.0"


class GraphQlApi:
    """Answers a query of one account."""

    def __init__(self, state: RunpodState) -> None:
        self._state = state

    async def answer(self, account: RunpodAccount, body: Any) -> tuple[int, Mapping[str, Any]]:
        """Return status and body. An error of a resolver has status 200; a query that is none has 400 (assumed)."""
        text = body.get("query") if isinstance(body, Mapping) else None
        if not isinstance(text, str):
            return 400, _make_errors("POST body missing, invalid Content-Type, or JSON object has no keys.")
        try:
            kind, selections = parse_query(text)
            data = {}
            for selection in selections:
                data[selection.name] = await self._resolve(account, kind, selection)
            return 200, {"data": data}
        except QueryError as error:
            return 400, _make_errors(str(error))
        except Problem as problem:
            return 200, {**_make_errors(problem.detail), "data": None}

    async def _resolve(self, account: RunpodAccount, kind: str, selection: Selection) -> Any:
        resolvers: Mapping[str, Any] = self._mutations if kind == "mutation" else self._queries
        resolver = resolvers.get(selection.name)
        if resolver is None:
            raise QueryError(f'Cannot query field "{selection.name}" on type "{kind.capitalize()}".')
        given = selection.arguments.get("input", {})
        if not isinstance(given, Mapping):
            raise QueryError('Argument "input" has invalid value.')
        return project(await resolver(account, given), selection.fields, selection.name)

    @property
    def _queries(self) -> Mapping[str, Any]:
        return {"myself": self._show_account, "pod": self._show_pod, "gpuTypes": self._list_gpu_types}

    @property
    def _mutations(self) -> Mapping[str, Any]:
        return {
            "podFindAndDeployOnDemand": self._deploy_gpu_pod,
            "deployCpuPod": self._deploy_cpu_pod,
            "podStop": self._stop_pod,
            "podResume": self._resume_pod,
            "podTerminate": self._terminate_pod,
            "updateUserSettings": self._update_settings,
        }

    # queries

    async def _show_account(self, account: RunpodAccount, given: Mapping[str, Any]) -> Mapping[str, Any]:
        now = self._state.at
        spending = sum((costs.rate for costs in account.list_costs()), Fraction(0))
        return {
            "id": account.id,
            "email": account.email,
            "clientBalance": make_usd(account.balance),
            "currentSpendPerHr": make_usd(round(spending)),
            "spendLimit": 80,
            "notifyLowBalance": False,
            "pubKey": "\n\n".join(account.keys) or None,
            "networkVolumes": [
                {"id": one.id, "name": one.name, "size": one.size, "dataCenterId": one.center}
                for one in account.list_volumes()
            ],
            "pods": [pod.describe_graph(now) for pod in account.list_pods()],
        }

    async def _show_pod(self, account: RunpodAccount, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
        found = next((pod for pod in account.list_pods() if pod.id == given.get("podId")), None)
        return found.describe_graph(self._state.at) if found else None

    async def _list_gpu_types(
        self, account: RunpodAccount, given: Mapping[str, Any]
    ) -> list[Mapping[str, Any]]:
        return [self._describe_gpu(gpu) for gpu in GPUS if given.get("id") in (None, gpu.id)]

    def _describe_gpu(self, gpu: GpuType) -> Mapping[str, Any]:
        price = make_usd(gpu.secure)
        return {
            "id": gpu.id,
            "displayName": gpu.name,
            "manufacturer": "Nvidia",
            "memoryInGb": gpu.memory,
            "maxGpuCount": gpu.max_count,
            "cudaCores": 0,
            "secureCloud": True,
            "communityCloud": True,
            "securePrice": price,
            "communityPrice": make_usd(gpu.community),
            "oneWeekPrice": None,
            "oneMonthPrice": None,
            "threeMonthPrice": None,
            "secureSpotPrice": None,
            "communitySpotPrice": None,
            "lowestPrice": lambda _arguments: {
                "minimumBidPrice": (price / 2).quantize(Decimal("0.000001")),
                "uninterruptablePrice": price,
            },
        }

    # mutations

    async def _deploy_gpu_pod(self, account: RunpodAccount, given: Mapping[str, Any]) -> Mapping[str, Any]:
        gpu = find_gpu(given.get("gpuTypeId"))
        if gpu is None:
            raise Problem(400, f"GPU type {given.get('gpuTypeId')} not found")
        kept = 0 if given.get("networkVolumeId") else _get_count(given, "volumeInGb", 0)
        return self._deploy(
            account,
            given,
            gpu=gpu,
            count=max(1, _get_count(given, "gpuCount", 1)),
            cuda=gpu.cuda,
            persistent=kept,
        )

    async def _deploy_cpu_pod(self, account: RunpodAccount, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """``instanceId``: flavor, vCPUs and memory, such as cpu3c-2-4."""
        flavor, _dash, size = str(given.get("instanceId") or "cpu5c-2-4").partition("-")
        vcpus = size.partition("-")[0]
        cpu = find_cpu(flavor)
        if cpu is None or not vcpus.isdecimal():
            raise Problem(400, f"instance {given.get('instanceId')} not found")
        return self._deploy(account, given, cpu=cpu, vcpus=int(vcpus))

    def _deploy(self, account: RunpodAccount, given: Mapping[str, Any], **more: Any) -> Mapping[str, Any]:
        center, env = given.get("dataCenterId"), given.get("env") or []
        wish = PodWish(
            name=str(given.get("name") or "pod"),
            image=str(given.get("imageName") or DEFAULT_IMAGE),
            centers=(str(center),) if center else (),
            disk=max(1, _get_count(given, "containerDiskInGb", 10)),
            volume=str(given.get("networkVolumeId") or ""),
            path=str(given.get("volumeMountPath") or "/workspace"),
            ports=tuple(part for part in str(given.get("ports") or "").split(",") if part),
            env={str(one.get("key")): str(one.get("value")) for one in env if isinstance(one, Mapping)},
            args=str(given.get("dockerArgs") or ""),
            starts_ssh=given.get("startSsh") is True,
            **more,
        )
        return self._state.create_pod(account, wish).describe_graph(self._state.at)

    async def _stop_pod(self, account: RunpodAccount, given: Mapping[str, Any]) -> Mapping[str, Any]:
        pod = account.get_pod(given.get("podId"))
        if pod.status not in ("EXITED", "ERROR"):
            await self._state.life.stop(pod, self._state.at)
        return pod.describe_graph(self._state.at)

    async def _resume_pod(self, account: RunpodAccount, given: Mapping[str, Any]) -> Mapping[str, Any]:
        pod = account.get_pod(given.get("podId"))
        if pod.status in ("EXITED", "ERROR"):
            self._state.life.start(pod, self._state.at)
        return pod.describe_graph(self._state.at)

    async def _terminate_pod(self, account: RunpodAccount, given: Mapping[str, Any]) -> None:
        await self._state.life.terminate(account.get_pod(given.get("podId")), self._state.at)

    async def _update_settings(self, account: RunpodAccount, given: Mapping[str, Any]) -> Mapping[str, Any]:
        account.keys = [line.strip() for line in str(given.get("pubKey") or "").splitlines() if line.strip()]
        return {"id": account.id, "pubKey": "\n\n".join(account.keys) or None}


def _get_count(given: Mapping[str, Any], name: str, default: int) -> int:
    found = given.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 10**6 else default


def _make_errors(message: str) -> dict[str, Any]:
    return {"errors": [{"message": message}]}
