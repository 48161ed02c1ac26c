"""What the node's JSON means, and that anything else is refused with what was expected."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from gpurent.api import Money, UnexpectedResponse
from gpurent_plugin_dbcchain import wire

HASH = "0x" + "0123456789abcdef" * 4
COMMITTEE = {
    "gpu_type": "GeForceRTX3080",
    "gpu_num": 4,
    "gpu_mem": "10",
    "calc_point": 6825,
    "sys_disk": "480",
    "data_disk": "3905",
    "cpu_core_num": "0x20",
    "mem_num": 440,
}
MACHINE = {
    "machineStatus": "online",
    "machineStash": "5Stash",
    "machineInfoDetail": {"committee_upload_info": COMMITTEE},
}
ORDER = {
    "machineId": "abc",
    "renter": "5Renter",
    "rentStart": 100,
    "rentEnd": "2980",
    "stakeAmount": "0x10",
    "rentStatus": "renting",
    "gpuNum": 2,
}


def check_refused(parse: Callable[[Any], object], raw: object, expected: str) -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        parse(raw)
    assert caught.value.message == f"unexpected response from the chain: {expected}"
    assert caught.value.url == "the chain"
    assert caught.value.detail == " ".join(json.dumps(raw, default=str)[:300].split())


@pytest.mark.parametrize(
    ("raw", "number"),
    [(0, 0), (7, 7), ("7", 7), ("1,234", 1234), ("0x0", 0), ("0xff", 255), ("0x" + "f" * 32, 2**128 - 1)],
)
def test_numbers_in_both_notations(raw: object, number: int) -> None:
    assert wire.parse_number(raw) == number


@pytest.mark.parametrize(
    "raw", [-1, "-1", 1.5, "1.5", True, None, "", "0x", "0xFF", "0x" + "f" * 33, "x0xff", "0xff ", "0xg", [1]]
)
def test_what_is_no_number_is_refused(raw: object) -> None:
    check_refused(wire.parse_number, raw, "number expected")


def test_lists_of_numbers() -> None:
    assert wire.parse_numbers([1, "2", "0x3"]) == [1, 2, 3]
    assert wire.parse_numbers([]) == []
    refused: tuple[object, ...] = (None, {}, "12", (1,))
    for raw in refused:
        check_refused(wire.parse_numbers, raw, "list expected")
    with pytest.raises(UnexpectedResponse, match="number expected"):
        wire.parse_numbers([1, None])


def test_bytes() -> None:
    assert wire.parse_hex("0x00fFAb") == b"\x00\xff\xab"
    assert wire.parse_hex("0x") == b""
    for raw in ("", "00ff", "0x0", "0x0g", "0x00\n", "X0x00", None, b"0x00", 0):
        check_refused(wire.parse_hex, raw, "bytes expected")


def test_hashes() -> None:
    assert wire.parse_hash(HASH) == HASH
    for raw in (HASH.upper(), HASH[2:], HASH[:-1], HASH + "0", f" {HASH}", None, 5):
        check_refused(wire.parse_hash, raw, "hash expected")


def test_a_record_has_all_its_names() -> None:
    record = {"a": 1, "b": 2, "c": 3}
    assert wire.parse_record(record, "a", "b") is record
    refused: tuple[object, ...] = ({"a": 1}, [], None, "ab")
    for raw in refused:
        with pytest.raises(UnexpectedResponse, match="a, b expected") as caught:
            wire.parse_record(raw, "a", "b")
        assert caught.value.detail == json.dumps(raw)


def test_what_is_no_json_value_is_still_quoted() -> None:
    assert "2026-03-01" in wire.make_unexpected_response("-", datetime(2026, 3, 1, tzinfo=UTC)).detail


def test_machines_that_may_be_free_are_listed_once() -> None:
    listed = {"onlineMachine": ["b", "a"], "rentedMachine": ["c", "a"], "bondingMachine": ["d"]}
    assert wire.parse_machine_ids(listed) == ["b", "a", "c"]
    longest = "Z" * 128
    assert wire.parse_machine_ids({"onlineMachine": [longest], "rentedMachine": []}) == [longest]


@pytest.mark.parametrize("name", ["", "a b", "../x", "é", "Z" * 129, "a\n", None, 7])
def test_a_machine_with_an_odd_name_is_refused(name: object) -> None:
    for kind, other in (("onlineMachine", "rentedMachine"), ("rentedMachine", "onlineMachine")):
        check_refused(wire.parse_machine_ids, {kind: [name], other: ["good"]}, "machine names expected")


@pytest.mark.parametrize("missing", ["onlineMachine", "rentedMachine"])
def test_a_list_of_machines_has_both_kinds(missing: str) -> None:
    listed: dict[str, list[str]] = {
        name: [] for name in ("onlineMachine", "rentedMachine") if name != missing
    }
    check_refused(wire.parse_machine_ids, listed, "onlineMachine, rentedMachine expected")


def test_a_machine() -> None:
    assert wire.parse_machine("m", MACHINE) == wire.ChainMachine(
        id="m",
        status="online",
        gpu="GeForceRTX3080",
        gpus=4,
        gpu_memory=10,
        calc_point=6825,
        cpus=32,
        memory=440,
        disk=3905,
    )


def test_a_machine_without_a_data_disk_has_its_system_disk() -> None:
    detail = {"committee_upload_info": {**COMMITTEE, "data_disk": 0}}
    assert wire.parse_machine("m", {**MACHINE, "machineInfoDetail": detail}).disk == 480


def test_a_status_with_details_is_shown_whole() -> None:
    status = {"stakerReportOffline": ["12", "online"], "more": 1}
    assert wire.parse_machine("m", {**MACHINE, "machineStatus": status}).status == "stakerReportOffline/more"


@pytest.mark.parametrize("name", MACHINE)
def test_a_machine_that_lacks_a_field_is_refused(name: str) -> None:
    raw = {key: value for key, value in MACHINE.items() if key != name}
    with pytest.raises(UnexpectedResponse, match="machineStatus, machineStash, machineInfoDetail expected"):
        wire.parse_machine("m", raw)


@pytest.mark.parametrize("name", COMMITTEE)
def test_a_machine_whose_hardware_lacks_a_field_is_refused(name: str) -> None:
    detail = {"committee_upload_info": {key: value for key, value in COMMITTEE.items() if key != name}}
    with pytest.raises(UnexpectedResponse, match="gpu_type, gpu_num"):
        wire.parse_machine("m", {**MACHINE, "machineInfoDetail": detail})
    with pytest.raises(UnexpectedResponse, match="committee_upload_info expected"):
        wire.parse_machine("m", {**MACHINE, "machineInfoDetail": {}})


def test_an_order() -> None:
    order = wire.parse_order(9, ORDER)
    assert order == wire.ChainOrder(
        id=9, machine="abc", renter="5Renter", start=100, end=2980, stake=16, status="renting", gpus=2
    )
    assert order.running
    assert not wire.parse_order(9, {**ORDER, "rentStatus": "rentExpired"}).running


@pytest.mark.parametrize("name", ORDER)
def test_an_order_that_lacks_a_field_is_refused(name: str) -> None:
    raw = {key: value for key, value in ORDER.items() if key != name}
    check_refused(
        lambda value: wire.parse_order(9, value),
        raw,
        "machineId, renter, rentStart, rentEnd, stakeAmount, rentStatus, gpuNum expected",
    )


def test_amounts_are_units_of_the_chain() -> None:
    assert wire.to_money(10**15) == wire.DBC.money(1) == Money(10**15, wire.DBC)


@pytest.mark.parametrize(
    "raw",
    [None, [], [{}], [{"changes": None}], [{"changes": [["0x00"]]}], [{"changes": ["ab"]}],
     [{"changes": [["k", "0x0"]]}], [{"changes": [["k", 7]]}], [{"changes": []}, {"changes": []}]],
)  # fmt: skip
def test_storage_of_another_shape_is_refused(raw: Any) -> None:
    with pytest.raises(UnexpectedResponse):
        wire.parse_storage(raw)


def test_storage_whose_bytes_do_not_fit_is_refused() -> None:
    assert wire.parse_storage([{"changes": [["k", "0x0700"], ["l", None]]}]) == {"k": b"\x07\0", "l": None}
    assert wire.parse_uint(b"\x07\0", 2) == 7
    assert wire.parse_uint(None, 2) is None
    parsers: tuple[Callable[[bytes], object], ...] = (
        lambda raw: wire.parse_uint(raw, 2),
        wire.parse_account,
        wire.parse_point_price,
        wire.parse_time,
    )
    for parse in parsers:
        for raw in (b"", b"\x07", b"\x07" * 200):
            with pytest.raises(UnexpectedResponse):
                parse(raw)
    with pytest.raises(UnexpectedResponse, match="time expected"):
        wire.parse_time(b"\xff" * 8)


def test_what_is_no_block_number_or_name_is_refused() -> None:
    assert wire.parse_block(2**32 - 1) == 2**32 - 1
    for raw in (2**32, -1, "x"):
        with pytest.raises(UnexpectedResponse, match="number expected"):
            wire.parse_block(raw)
    for name in (None, 7, "", "../tasks", "a b", "-oX", "\x1b[2J"):
        with pytest.raises(UnexpectedResponse, match="name expected"):
            wire.parse_name(name)
    wrong: tuple[Any, ...] = (
        {"onlineMachine": 1, "rentedMachine": []},
        {"onlineMachine": [], "rentedMachine": None},
    )
    for lists in wrong:
        with pytest.raises(UnexpectedResponse, match="machine names expected"):
            wire.parse_machine_ids(lists)
    with pytest.raises(UnexpectedResponse, match="list expected"):
        wire.parse_extrinsics({"block": {"extrinsics": 7}})
