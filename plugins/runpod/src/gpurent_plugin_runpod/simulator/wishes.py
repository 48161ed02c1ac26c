"""The body of a create, checked as the published schema and its cross-field rules have it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gpurent_plugin_runpod.simulator.pods import PodWish
from gpurent_plugin_runpod.simulator.problem import Problem, invalid_body, not_found
from gpurent_plugin_runpod.simulator.stock import find_cpu, find_gpu, select_cuda

_CUDA = re.compile(r"\d+\.\d+", re.ASCII)
_PORT = re.compile(r"\d{1,5}/(tcp|http|udp)", re.ASCII)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) >= 1


def _is_count(least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


def _is_environment(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_is_text(item) for item in value.values())


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_cuda(value: Any) -> bool:
    return isinstance(value, str) and _CUDA.fullmatch(value) is not None


Schema = Mapping[str, Callable[[Any], bool]]
POD: Schema = {
    "name": _is_name,
    "image": _is_text,
    "args": _is_text,
    "disk": _is_count(1),
    "env": _is_environment,
    "ports": _is_list_of(lambda item: isinstance(item, str) and _PORT.fullmatch(item) is not None),
    "registry": lambda value: value is None or isinstance(value, str),
    "cloud": lambda value: value in ("SECURE", "COMMUNITY"),
    "gpu": _is_object,
    "cpu": _is_object,
    "dataCenterIds": _is_list_of(_is_text),
    "globalNetworking": _is_flag,
    "mounts": _is_object,
    "startJupyter": _is_flag,
    "startSsh": _is_flag,
    "templateId": _is_name,
}
GPU: Schema = {
    "id": _is_text,
    "count": _is_count(1),
    "allowedCudaVersions": _is_list_of(_is_cuda),
    "minCudaVersion": _is_cuda,
    "minRamPerGpu": _is_count(1),
    "minVcpuCountPerGpu": _is_count(1),
}
CPU: Schema = {"id": _is_name, "vcpuCount": _is_count(2)}
MOUNTS: Schema = {"persistent": _is_object, "network": _is_list_of(_is_object)}
PERSISTENT: Schema = {"size": _is_count(10), "path": _is_text}
NETWORK: Schema = {"volumeId": _is_text, "path": _is_text}
VOLUME: Schema = {
    "name": _is_name,
    "size": lambda value: _is_count(10)(value) and value <= 4096,
    "dataCenter": _is_name,
    "type": lambda value: value in ("STANDARD", "HIGH_PERFORMANCE"),
}
PATCH: Schema = {"name": _is_name, "locked": _is_flag}
ACTION: Schema = {"action": lambda value: value in ("start", "stop", "restart", "terminate")}
KEYS: Schema = {
    "keys": _is_list_of(
        lambda item: (
            isinstance(item, str)
            and re.fullmatch(r"(ssh|ecdsa|sk)-\S+ \S+([ \t][^\n\r]*)?", item, re.ASCII) is not None
        )
    )
}


def check_body(body: Any, schema: Schema, *required: str, at: str = "$") -> Mapping[str, Any]:
    """Return an object that has nothing but fields of ``schema``. Raises `Problem` 422, with all that is wrong."""
    if not isinstance(body, Mapping):
        raise invalid_body(f"{at}: value must be an object")
    errors = [f"{at}: missing property {name!r}" for name in required if name not in body]
    errors += [f"{at}: additional properties {name!r} not allowed" for name in body if name not in schema]
    errors += [
        f"{at}.{name}: invalid value"
        for name, check in schema.items()
        if name in body and not check(body[name])
    ]
    if errors:
        raise invalid_body(*errors)
    return body


def parse_wish(body: Any) -> PodWish:
    """Return what a create asks for. Raises `Problem`."""
    found = check_body(body, POD, "name")
    if "templateId" in found:
        raise not_found("template")
    if not found.get("image"):
        raise invalid_body("$: missing property 'image'")
    if ("gpu" in found) == ("cpu" in found):
        raise Problem(400, "exactly one of gpu or cpu must be set")
    fields: dict[str, Any] = {
        "name": found["name"],
        "image": found["image"],
        "centers": tuple(found.get("dataCenterIds", ())),
        "disk": found.get("disk", 20),
        "ports": tuple(found.get("ports", ())),
        "env": dict(found.get("env", {})),
        "args": found.get("args", ""),
        "starts_ssh": found.get("startSsh", False),
        **_parse_mounts(found.get("mounts", {}), is_cpu="cpu" in found),
    }
    if "gpu" in found:
        return PodWish(**fields, **_parse_gpu(found["gpu"]))
    cpu = check_body(found["cpu"], CPU, "id", "vcpuCount", at="$.cpu")
    flavor, vcpus = find_cpu(cpu["id"]), cpu["vcpuCount"]
    if flavor is None or vcpus & (vcpus - 1):
        raise Problem(400, "unknown CPU flavor, or vcpuCount is no power of two")
    return PodWish(**fields, cpu=flavor, vcpus=vcpus)


def _parse_gpu(body: Any) -> dict[str, Any]:
    gpu = check_body(body, GPU, "id", at="$.gpu")
    kind = find_gpu(gpu["id"])
    if kind is None:
        raise Problem(400, f"unknown GPU type {gpu['id']}")
    exact, least = tuple(gpu.get("allowedCudaVersions", ())), gpu.get("minCudaVersion", "")
    if exact and least:
        raise Problem(400, "allowedCudaVersions and minCudaVersion are mutually exclusive")
    return {"gpu": kind, "count": gpu.get("count", 1), "cuda": select_cuda(kind, least, exact)}


def _parse_mounts(body: Any, *, is_cpu: bool) -> dict[str, Any]:
    mounts = check_body(body, MOUNTS, at="$.mounts")
    if "persistent" in mounts and mounts.get("network"):
        raise Problem(400, "mounts.persistent and mounts.network are mutually exclusive")
    if "persistent" in mounts:
        if is_cpu:
            raise Problem(400, "CPU pods do not support mounts.persistent")
        kept = check_body(mounts["persistent"], PERSISTENT, "size", "path", at="$.mounts.persistent")
        return {"persistent": kept["size"], "path": kept["path"]}
    if not mounts.get("network"):
        return {}
    if len(mounts["network"]) > 1:
        raise invalid_body("$.mounts.network: maxItems 1")
    network = check_body(mounts["network"][0], NETWORK, "volumeId", "path", at="$.mounts.network[0]")
    return {"volume": network["volumeId"], "path": network["path"]}
