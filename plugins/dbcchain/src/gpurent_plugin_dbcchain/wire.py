"""The node's JSON <-> our values. No I/O. Formats: the pallets' RPC types, which mix two naming styles."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from attrs import frozen

from gpurent.api import Currency, Money, UnexpectedResponse, parse_foreign_integer, parse_foreign_name
from gpurent_plugin_dbcchain import _, scale

T = TypeVar("T")
DBC = Currency("DBC", 15)
DOLLAR = Currency("USD", 8)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_MILLIS = 10**13  # the year 2286
RENTABLE_STATUSES = ("online", "rented")


@frozen(kw_only=True)
class ChainMachine:
    """A machine as its registry describes it; sizes in GiB (assumed: the chain states no unit)."""

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
class ChainOrder:
    """An order. Times are block numbers; ``stake`` is what is reserved for it (0 once a rent is paid)."""

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


def make_unexpected_response(what: str, raw: Any) -> UnexpectedResponse:
    """``what`` was expected, in the user's language."""
    return UnexpectedResponse(
        _("unexpected response from the chain: {what}").format(what=what),
        url=_("the chain"),
        body=json.dumps(raw, default=str),
    )


def parse_record(raw: Any, *names: str) -> dict[str, Any]:
    if not isinstance(raw, dict) or not set(names) <= raw.keys():
        raise make_unexpected_response(_("{names} expected").format(names=", ".join(names)), raw)
    return raw


def parse_number(raw: Any) -> int:
    """Parse a whole number: a JSON number, decimal digits, or ``0x`` digits."""
    if isinstance(raw, str) and re.fullmatch(r"0x[0-9a-f]{1,32}", raw):
        return int(raw, 0)
    try:
        return parse_foreign_integer(raw)
    except ValueError:
        raise make_unexpected_response(_("number expected"), raw) from None


def parse_block(raw: Any) -> int:
    """Parse a block number, which has 32 bits on the chain."""
    found = parse_number(raw)
    if found >= 2**32:
        raise make_unexpected_response(_("number expected"), raw)
    return found


def parse_hex(raw: Any) -> bytes:
    if not isinstance(raw, str) or not re.fullmatch(r"0x([0-9a-fA-F]{2})*", raw):
        raise make_unexpected_response(_("bytes expected"), raw)
    return bytes.fromhex(raw[2:])


def parse_extrinsics(raw: Any) -> list[bytes]:
    """Parse a block with its extrinsics."""
    listed = parse_record(parse_record(raw, "block")["block"], "extrinsics")["extrinsics"]
    if not isinstance(listed, list):
        raise make_unexpected_response(_("list expected"), raw)
    return [parse_hex(item) for item in listed]


def parse_hash(raw: Any) -> str:
    if not isinstance(raw, str) or not re.fullmatch(r"0x[0-9a-f]{64}", raw):
        raise make_unexpected_response(_("hash expected"), raw)
    return raw


def parse_numbers(raw: Any) -> list[int]:
    if not isinstance(raw, list):
        raise make_unexpected_response(_("list expected"), raw)
    return [parse_number(item) for item in raw]


def parse_storage(raw: Any) -> Mapping[str, bytes | None]:
    """Parse the values of one block, by their key; what is None, or missing, is not stored."""
    if not isinstance(raw, list) or len(raw) != 1:
        raise make_unexpected_response(_("storage expected"), raw)
    pairs = parse_record(raw[0], "changes")["changes"]
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise make_unexpected_response(_("storage expected"), raw)
    return {str(name): None if value is None else parse_hex(value) for name, value in pairs}


def _decode(decode: Callable[[], T], raw: bytes | None) -> T:
    try:
        return decode()
    except ValueError:
        raise make_unexpected_response(
            _("storage expected"), raw.hex() if raw is not None else None
        ) from None


def parse_uint(raw: bytes | None, size: int) -> int | None:
    """Parse a stored integer of ``size`` bytes; None if nothing is stored."""
    return _decode(lambda: scale.decode_uint(raw, size), raw)


def parse_account(raw: bytes | None) -> scale.AccountInfo:
    return _decode(lambda: scale.decode_account(raw), raw)


def parse_point_price(raw: bytes | None) -> tuple[int, int]:
    """Return how many points of computing power cost what a day, in 10^-6 USD; zeros if nothing is stored."""
    points, day = (0, 0) if raw is None else _decode(lambda: scale.decode_uints(raw, 8, 8), raw)
    return points, day


def parse_time(raw: bytes | None) -> datetime:
    """Parse the chain's own time of a block, milliseconds since the epoch."""
    millis = parse_uint(raw, 8)
    if not millis or millis > _MAX_MILLIS:
        raise make_unexpected_response(_("time expected"), None if raw is None else raw.hex())
    return _EPOCH + timedelta(milliseconds=millis)


def parse_name(raw: Any) -> str:
    """Parse the name of a machine, an account or a task."""
    try:
        return parse_foreign_name(raw)
    except ValueError:
        raise make_unexpected_response(_("name expected"), raw) from None


def parse_machine_ids(raw: Any) -> list[str]:
    """Return the machines that may have something free, without duplicates."""
    found = parse_record(raw, "onlineMachine", "rentedMachine")
    lists = (found["onlineMachine"], found["rentedMachine"])
    names = [name for listed in lists if isinstance(listed, list) for name in listed]
    if not all(isinstance(listed, list) for listed in lists) or not all(
        isinstance(name, str) and re.fullmatch(r"[0-9A-Za-z]{1,128}", name) for name in names
    ):
        raise make_unexpected_response(_("machine names expected"), raw)
    return list(dict.fromkeys(names))


def parse_machine(name: str, raw: Any) -> ChainMachine:
    """Parse a machine; the outer names are in one naming style, those inside ``machineInfoDetail`` in another."""
    found = parse_record(raw, "machineStatus", "machineStash", "machineInfoDetail")
    detail = parse_record(found["machineInfoDetail"], "committee_upload_info")
    built = parse_record(
        detail["committee_upload_info"],
        "gpu_type", "gpu_num", "gpu_mem", "calc_point", "sys_disk", "data_disk", "cpu_core_num", "mem_num",
    )  # fmt: skip
    status = found["machineStatus"]
    return ChainMachine(
        id=name,
        status="/".join(map(str, status)) if isinstance(status, list | dict) else str(status),
        gpu=str(built["gpu_type"]),
        gpus=parse_number(built["gpu_num"]),
        gpu_memory=parse_number(built["gpu_mem"]),
        calc_point=parse_number(built["calc_point"]),
        cpus=parse_number(built["cpu_core_num"]),
        memory=parse_number(built["mem_num"]),
        disk=parse_number(built["data_disk"]) or parse_number(built["sys_disk"]),
    )


def parse_order(number: int, raw: Any) -> ChainOrder:
    found = parse_record(
        raw, "machineId", "renter", "rentStart", "rentEnd", "stakeAmount", "rentStatus", "gpuNum"
    )
    return ChainOrder(
        id=number,
        machine=parse_name(found["machineId"]),
        renter=parse_name(found["renter"]),
        start=parse_block(found["rentStart"]),
        end=parse_block(found["rentEnd"]),
        stake=parse_number(found["stakeAmount"]),
        status=str(found["rentStatus"]),
        gpus=parse_number(found["gpuNum"]),
    )


def to_money(units: int) -> Money:
    return Money(units, DBC)
