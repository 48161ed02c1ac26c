"""The node's JSON <-> our values. Pure. Shapes: the pallets' RPC types, which mix two spellings of names."""

from __future__ import annotations

import json
import re
from typing import Any

from attrs import frozen

from gpurent.api import Currency, Money, UnexpectedResponse

DBC = Currency("DBC", 15)
DOLLAR = Currency("USD", 8)
RENTABLE = ("online", "rented")


@frozen(kw_only=True)
class Machine:
    """A machine as its registry describes it; sizes in GiB (assumed: the chain names no unit)."""

    id: str
    status: str
    gpu: str
    gpus: int
    gpu_memory: int
    calc_point: int
    cpus: int
    memory: int
    disk: int


@frozen(kw_only=True)
class Rented:
    """An order. Times are block numbers, ``stake`` what is set aside for it (nothing once a rent is paid)."""

    id: int
    machine: str
    renter: str
    start: int
    end: int
    stake: int
    status: str
    gpus: int

    @property
    def running(self) -> bool:
        return self.status == "renting"


def changed(what: str, raw: Any) -> UnexpectedResponse:
    return UnexpectedResponse(f"the chain gave {what}", url="the chain", body=json.dumps(raw, default=str))


def record(raw: Any, *names: str) -> dict[str, Any]:
    if not isinstance(raw, dict) or not set(names) <= raw.keys():
        raise changed("another shape", raw)
    return raw


def number(raw: Any) -> int:
    """A whole number: a JSON number, decimal digits, or ``0x`` digits."""
    if type(raw) is int and raw >= 0:
        return raw
    if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,40}|0x[0-9a-f]{1,32}", raw):
        return int(raw, 0) if raw.startswith("0x") else int(raw)
    raise changed("no number", raw)


def data(raw: Any) -> bytes:
    if not isinstance(raw, str) or not re.fullmatch(r"0x([0-9a-fA-F]{2})*", raw):
        raise changed("no bytes", raw)
    return bytes.fromhex(raw[2:])


def digest(raw: Any) -> str:
    if not isinstance(raw, str) or not re.fullmatch(r"0x[0-9a-f]{64}", raw):
        raise changed("no hash", raw)
    return raw


def numbers(raw: Any) -> list[int]:
    if not isinstance(raw, list):
        raise changed("no list", raw)
    return [number(item) for item in raw]


def listed(raw: Any) -> list[str]:
    """The machines that may have something free, each once."""
    found = record(raw, "onlineMachine", "rentedMachine")
    names = [*found["onlineMachine"], *found["rentedMachine"]]
    if not all(isinstance(name, str) and re.fullmatch(r"[0-9A-Za-z]{1,128}", name) for name in names):
        raise changed("no machines", raw)
    return list(dict.fromkeys(names))


def machine(name: str, raw: Any) -> Machine:
    """The outer names are in one spelling, those inside ``machineInfoDetail`` in another."""
    found = record(raw, "machineStatus", "machineStash", "machineInfoDetail")
    detail = record(found["machineInfoDetail"], "committee_upload_info")
    built = record(
        detail["committee_upload_info"],
        "gpu_type", "gpu_num", "gpu_mem", "calc_point", "sys_disk", "data_disk", "cpu_core_num", "mem_num",
    )  # fmt: skip
    status = found["machineStatus"]
    return Machine(
        id=name,
        status=status if isinstance(status, str) else "/".join(map(str, status)),
        gpu=str(built["gpu_type"]),
        gpus=number(built["gpu_num"]),
        gpu_memory=number(built["gpu_mem"]),
        calc_point=number(built["calc_point"]),
        cpus=number(built["cpu_core_num"]),
        memory=number(built["mem_num"]),
        disk=number(built["data_disk"]) or number(built["sys_disk"]),
    )


def rented(order: int, raw: Any) -> Rented:
    found = record(raw, "machineId", "renter", "rentStart", "rentEnd", "stakeAmount", "rentStatus", "gpuNum")
    return Rented(
        id=order,
        machine=str(found["machineId"]),
        renter=str(found["renter"]),
        start=number(found["rentStart"]),
        end=number(found["rentEnd"]),
        stake=number(found["stakeAmount"]),
        status=str(found["rentStatus"]),
        gpus=number(found["gpuNum"]),
    )


def money(units: int) -> Money:
    return Money(units, DBC)
