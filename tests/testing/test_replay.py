"""A recording is a stranger's file; its answers reach the plugin's own code; what it shows may be called observed."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from gpurent.errors import UsageError
from gpurent.roles.entries import SimulatorEntry
from gpurent.roles.simulator import Evidence, Observation, SimulatorRoute
from gpurent.testing.plugin_check.idle_simulator import make_simulator
from gpurent.testing.plugin_check.replay.answer_book import AnswerBook, AnswerState, BookedAnswer
from gpurent.testing.plugin_check.replay.observation_files import find_observation_faults
from gpurent.testing.plugin_check.replay.observed_routes import find_replay_faults
from gpurent.testing.plugin_check.replay.recording_reader import parse_recording, read_recording
from gpurent.testing.plugin_check.replay.replay import replay_exchanges
from gpurent.testing.plugin_check.role_rules import check_routes
from gpurent.testing.sandbox_harness import installed_plugins

ACCOUNT = {"id": 900000001, "username": "<account-2>", "email": "<email-1>", "credit": 12.5, "can_pay": True}


def make_row(**fields: Any) -> dict[str, Any]:
    row = {
        "format": 1,
        "gpurent": "0.1.0",
        "plugin": {"distribution": "gpurent-plugin-vast", "version": "0.1.0"},
        "entry": {"kind": "billing", "name": "vast", "setting": "url"},
        "service": "https://console.vast.ai",
        "at": "2026-11-30T12:00:00.000+00:00",
        "milliseconds": 12,
        "method": "GET",
        "path": "/api/v0/users/current/",
        "route": "/api/v0/users/current/",
        "query": {},
        "request": {"headers": [], "body": "", "left_out": ""},
        "response": make_answer(ACCOUNT),
    }
    return {**row, **fields}


def make_answer(body: object, status: int = 200) -> dict[str, Any]:
    headers = [["content-type", "application/json"]]
    return {"status": status, "headers": headers, "body": json.dumps(body), "left_out": ""}


def make_recording(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


# reading

BAD_FIELDS: list[dict[str, Any]] = [
    {"format": 2}, {"format": None}, {"entry": []}, {"entry": {"kind": 1, "name": "vast", "setting": "url"}},
    {"method": "BREW"}, {"method": 5}, {"path": "no-slash"}, {"path": "/a\nb"}, {"path": "/" + "x" * 5000},
    {"at": "yesterday"}, {"at": "2026-11-30T12:00:00"}, {"query": [1]}, {"query": {"a": 1}}, {"request": None},
    {"response": {"status": "200", "headers": [], "body": "", "left_out": ""}},
    {"response": {"status": 9999, "headers": [], "body": "", "left_out": ""}},
    {"response": {"status": True, "headers": [], "body": "", "left_out": ""}},
    {"response": {"status": 200, "headers": [["a", "b\r\nc: d"]], "body": "", "left_out": ""}},
    {"response": {"status": 200, "headers": [["a b", "c"]], "body": "", "left_out": ""}},
    {"response": {"status": 200, "headers": [["a"]], "body": "", "left_out": ""}},
    {"response": {"status": 200, "headers": [], "body": 7, "left_out": ""}},
    {"service": "x" * 300}, {"plugin": {"distribution": "a"}},
]  # fmt: skip


@pytest.mark.parametrize("fields", BAD_FIELDS, ids=str)
def test_a_line_that_is_none_is_named(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="line 2 of x"):
        parse_recording(make_recording(make_row(), make_row(**fields)), "x")


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"[1]\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"{}", b"1" * 10_000 + b"\n"]
)
def test_what_is_no_recording_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError):
        parse_recording(data, "x")


def test_too_many_lines_and_other_things_than_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="more than"):
        parse_recording(b"{}\n" * 30_000, "x")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing"):
        with pytest.raises(UsageError):
            read_recording(path)


def test_text_of_the_file_is_cleaned() -> None:
    row = make_row(service="\x1b]0;owned\x07x", route="/a\u202eb")
    (found,) = parse_recording(make_recording(row), "x")
    assert (found.service, found.route) == ("x", "/ab")


# which answer


def make_book(*rows: dict[str, Any]) -> AnswerBook:
    return AnswerBook([BookedAnswer(exchange) for exchange in parse_recording(make_recording(*rows), "x")])


def ask(book: AnswerBook, method: str, path: str, query: dict[str, str] | None = None, body: str = "") -> int:
    found = book.find_answer(("vast", "url"), method, path, query or {}, body)
    return found.line if found is not None else 0


def test_answers_come_in_their_order_and_the_last_one_again() -> None:
    book = make_book(*[make_row() for _number in range(3)])
    assert [ask(book, "GET", "/api/v0/users/current/") for _turn in range(5)] == [1, 2, 3, 3, 3]
    book.begin_pass()
    assert ask(book, "GET", "/api/v0/users/current/") == 1
    assert ask(book, "GET", "/other") == ask(book, "POST", "/api/v0/users/current/") == 0
    assert book.missing == ["GET /other", "POST /api/v0/users/current/"]


def test_pages_are_told_apart_by_their_parameters() -> None:
    pages = [make_row(query={"limit": "5"}), make_row(query={"limit": "5", "after": "<secret-1>"})]
    book = make_book(*pages, make_row(query={"limit": "5", "after": "<secret-2>"}))
    path = "/api/v0/users/current/"
    assert ask(book, "GET", path, {"limit": "5", "after": "<secret-2>"}) == 3
    assert ask(book, "GET", path, {"limit": "5", "after": "<secret-1>"}) == 2
    assert ask(book, "GET", path, {"limit": "5"}) == 1


def test_calls_of_one_path_are_told_apart_by_their_bodies() -> None:
    def make_call(method: str) -> dict[str, Any]:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method})
        return make_row(
            method="POST", path="/", route="/", request={"headers": [], "body": body, "left_out": ""}
        )

    book = make_book(make_call("chain_getHead"), make_call("state_getStorage"))
    call = '{"jsonrpc": "2.0", "id": 7, "method": "%s"}'
    assert ask(book, "POST", "/", body=call % "state_getStorage") == 2
    assert ask(book, "POST", "/", body=call % "author_submitExtrinsic") == 0


# whole replays


async def replay(*rows: dict[str, Any]) -> dict[str, Any]:
    entries = [("auth", "vast"), ("billing", "vast"), ("lease", "vast")]
    exchanges = parse_recording(make_recording(*rows), "x")
    report = await replay_exchanges(exchanges, installed_plugins(), entries)
    return {f"{one.method} {one.route}": (one.state, one.errors) for one in report.routes}


async def test_an_answer_that_the_plugin_reads() -> None:
    assert await replay(make_row()) == {"GET /api/v0/users/current/": (AnswerState.PARSED, ())}


@pytest.mark.parametrize(
    "body",
    [{**ACCOUNT, "credit": None}, {**ACCOUNT, "credit": "much"}, [], "text", {**ACCOUNT, "credit": {}}],
)
async def test_an_answer_of_another_shape(body: object) -> None:
    ((state, errors),) = (await replay(make_row(response=make_answer(body)))).values()
    assert state is AnswerState.CHANGED
    assert errors


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_a_refusal_that_the_plugin_knows_is_understood(status: int) -> None:
    answer = make_answer({"success": False, "error": "auth_error", "msg": "no"}, status)
    ((state, errors),) = (await replay(make_row(response=answer))).values()
    assert (state, errors) == (AnswerState.PARSED, ())


async def test_what_no_call_asks_for_is_not_called() -> None:
    found = await replay(make_row(), make_row(path="/api/v9/new/", route="/api/v9/new/"))
    assert found["GET /api/v9/new/"] == (AnswerState.NOT_CALLED, ())


async def test_a_body_that_was_left_out_is_not_served() -> None:
    answer = {**make_answer({}), "body": "", "left_out": "it is too large"}
    ((state, _errors),) = (await replay(make_row(response=answer))).values()
    assert state is AnswerState.NOT_CALLED


async def test_a_replay_asks_nothing_but_this_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    asked: list[Any] = []
    connect = socket.socket.connect

    def watch(self: socket.socket, address: Any) -> None:
        asked.append(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watch)

    def look_up(host: str, *_rest: Any, **_more: Any) -> list[Any]:
        asked.append((host, 0))
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    await replay(make_row())
    assert {address[0] for address in asked} <= {"127.0.0.1"}


# observed routes

USERS = "/api/v0/users/current/"


class Package:
    """An installed package whose simulator says that one route is observed."""

    def __init__(self, folder: Path, data: bytes) -> None:
        self.root = folder / "observing_plugin"
        (self.root / "observed").mkdir(parents=True)
        (self.root / "__init__.py").write_text("def build(context): ...\n")
        self.write(data)
        self.observation = Observation(
            file="users.jsonl",
            sha256=hashlib.sha256(data).hexdigest(),
            recorded_on=date(2026, 11, 30),
            version="0.1.0",
        )

    def write(self, data: bytes) -> None:
        (self.root / "observed" / "users.jsonl").write_bytes(data)

    @property
    def entry(self) -> SimulatorEntry:
        return SimulatorEntry(name="vast", summary="", build=import_module("observing_plugin").build)

    @property
    def routes(self) -> list[SimulatorRoute]:
        return [
            SimulatorRoute(method="GET", path=USERS, evidence=Evidence.OBSERVED, observation=self.observation)
        ]


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Package]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "observing_plugin", raising=False)
    return lambda *rows: Package(tmp_path, make_recording(*rows))


def test_only_what_is_observed_has_an_observation(make_package: Callable[..., Package]) -> None:
    seen = make_package(make_row()).observation
    with pytest.raises(ValueError, match="GET /x"):
        SimulatorRoute(method="GET", path="/x", evidence=Evidence.OBSERVED)
    with pytest.raises(ValueError, match="GET /x"):
        SimulatorRoute(method="GET", path="/x", evidence=Evidence.SOURCE, observation=seen)


async def test_a_route_that_is_observed(make_package: Callable[..., Package]) -> None:
    package = make_package(make_row())
    assert find_observation_faults(package.entry, package.routes) == []
    assert await find_replay_faults(package.entry, package.routes, installed_plugins()) == []


@pytest.mark.parametrize(
    ("rows", "changes", "fault"),
    [
        ([make_row()], {"sha256": "0" * 64}, "another digest"),
        ([make_row()], {"recorded_on": date(2026, 1, 1)}, "is of 2026-11-30"),
        ([make_row()], {"version": "9"}, "version 0.1.0"),
        ([make_row()], {"file": "other.jsonl"}, "there is no file observed/other.jsonl"),
        ([make_row()], {"file": "../__init__.py"}, "there is no file"),
        ([make_row(service="sandbox")], {}, "not the live service"),
        ([make_row(path="/x", route="/x")], {}, "has no answer of this route"),
        ([make_row(response=None)], {}, "has no answer of this route"),
        ([make_row(format=7)], {}, "no line of a recording"),
    ],
)
def test_a_route_that_is_not(
    rows: list[dict[str, Any]], changes: dict[str, Any], fault: str, make_package: Callable[..., Package]
) -> None:
    package = make_package(*rows)
    package.observation = evolve(package.observation, **changes)
    assert fault in "\n".join(find_observation_faults(package.entry, package.routes))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (make_row(response=make_answer({**ACCOUNT, "credit": "much"})), "is no number"),
        (make_row(path="/api/v9/new/", route="/api/v9/new/"), "does not call it"),
    ],
)
async def test_a_recording_that_the_plugin_does_not_read(
    row: dict[str, Any], fault: str, make_package: Callable[..., Package]
) -> None:
    package = make_package(row)
    found = await find_replay_faults(package.entry, package.routes, installed_plugins())
    assert fault in "\n".join(found)


def test_no_route_of_ours_is_observed_yet() -> None:
    """Nobody has spoken to a live service: the pages say so."""
    registry = installed_plugins()
    names = [("simulator", name) for name in registry.get_entries(SimulatorEntry)]
    findings, counts, observed = check_routes(registry, names)
    assert [finding.details for finding in findings if finding.rule == "routes"] == [findings[0].details]
    assert counts["observed"] == 0
    assert observed == []
    assert all(make_simulator(entry).list_routes() for entry in registry.get_entries(SimulatorEntry).values())
