"""A recording: a new private file of complete lines, whatever happens to its writer; no request fails for it."""

from __future__ import annotations

import json
import logging
import os
import resource
import stat
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from gpurent.domain.secret import Secret
from gpurent.errors import UnavailableError, UsageError
from gpurent.infra.http import HttpClient
from gpurent.infra.recording.recorder import ExchangeRecorder
from gpurent.infra.recording.redact_exchange import RecordedEntry
from gpurent.infra.redact import Redactor
from gpurent.testing.fakes.http_server import ScriptedHttpServer, http_reply, http_server
from gpurent.testing.plugin_check.replay.recording_reader import read_recording

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
JSON_TYPE = ("Content-Type: application/json",)


def make_entry(kind: str = "lease") -> RecordedEntry:
    return RecordedEntry(
        kind=kind, name="acme", setting="url", distribution="gpurent-plugin-acme", version="1.2"
    )


def make_client(
    recorder: ExchangeRecorder, server: ScriptedHttpServer, redactor: Redactor, kind: str = "lease"
) -> HttpClient:
    watch = partial(recorder.watch_request, redactor, make_entry(kind))
    return HttpClient(server.url, redact=redactor, log=logging.getLogger("test"), watch=watch)


def make_recorder(path: Path) -> ExchangeRecorder:
    return ExchangeRecorder(path, "9.9", lambda: NOW)


async def test_an_exchange_is_one_line_with_everything_but_secrets(tmp_path: Path) -> None:
    recorder, redactor = make_recorder(tmp_path / "rec.jsonl"), Redactor()
    body = (
        b'{"machines": [{"id": 7, "price": 0.10, "host": "gpu7.acme.example"}], "next_token": "abcdef0123"}'
    )
    headers = (*JSON_TYPE, "Set-Cookie: sid=s3cr3t-c00kie; Path=/", "X-Request-Id: 4711", "Server: nginx")
    async with http_server(http_reply(body, headers=headers)) as server:
        client = make_client(recorder, server, redactor)
        await client.request(
            "POST",
            "/machines/7/start/",
            params={"api_key": Secret("key-canary-1"), "page": "2"},
            json={"password": Secret("machine-canary-2"), "disk": 16},
            headers={"Authorization": Secret("Bearer key-canary-1")},
        )
        await client.aclose()
    summary = recorder.close()
    data = (tmp_path / "rec.jsonl").read_bytes()
    assert stat.S_IMODE((tmp_path / "rec.jsonl").stat().st_mode) == 0o600
    assert not [
        word for word in (b"canary", b"c00kie", b"4711", b"acme.example", b"abcdef0123") if word in data
    ]
    (row,) = map(json.loads, data.splitlines())
    assert row["entry"] == {"kind": "lease", "name": "acme", "setting": "url"}
    assert (row["gpurent"], row["plugin"]["version"], row["at"]) == (
        "9.9",
        "1.2",
        "2026-11-30T12:00:00.000+00:00",
    )
    assert (row["method"], row["path"], row["route"]) == ("POST", "/machines/7/start/", "/machines/{}/start/")
    key = row["query"]["api_key"]
    assert row["query"] == {"api_key": key, "page": "2"}
    assert ["authorization", f"Bearer {key}"] in row["request"]["headers"], "one value, one placeholder"
    assert json.loads(row["request"]["body"])["disk"] == 16
    answer = row["response"]
    assert answer["status"] == 200
    assert '"price": 0.10' in answer["body"], "numbers keep their digits"
    assert ["x-request-id", "<left-out>"] in answer["headers"]
    assert ["server", "nginx"] in answer["headers"]
    assert summary.exchanges == 1
    assert summary.replaced["secret"] >= 4


async def test_a_request_without_an_answer_is_recorded_too(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path / "rec.jsonl")

    async def hang_up(writer: object) -> None: ...

    async with http_server(hang_up) as server:
        client = make_client(recorder, server, Redactor())
        with pytest.raises(UnavailableError):
            await client.request("GET", "/x")
        await client.aclose()
    recorder.close()
    (exchange,) = read_recording(tmp_path / "rec.jsonl")
    assert (exchange.status, exchange.can_be_served) == (0, False)


async def test_a_login_is_held_until_it_is_known_whose_it_is(tmp_path: Path) -> None:
    recorder, redactor = make_recorder(tmp_path / "rec.jsonl"), Redactor()
    async with http_server(http_reply(b'{"who": "grace", "n": 41234567}', headers=JSON_TYPE)) as server:
        client = make_client(recorder, server, redactor, kind="auth")
        await client.request("GET", "/me")
        assert not (tmp_path / "rec.jsonl").exists()
        redactor.register_account("grace")
        redactor.register_account("41234567")
        await client.aclose()
    recorder.close()
    (exchange,) = read_recording(tmp_path / "rec.jsonl")
    assert exchange.body == '{"who": "<account-1>", "n": 900000002}'


@pytest.mark.parametrize("what", ["file", "link", "dangling link", "folder", "no folder above"])
def test_nothing_is_overwritten_and_no_link_followed(what: str, tmp_path: Path) -> None:
    path, target = tmp_path / "rec.jsonl", tmp_path / "target"
    match what:
        case "file":
            path.write_text("mine")
        case "link":
            target.write_text("mine")
            path.symlink_to(target)
        case "dangling link":
            path.symlink_to(target)
        case "folder":
            path.mkdir()
        case _:
            path = tmp_path / "missing" / "rec.jsonl"
    with pytest.raises(UsageError):
        make_recorder(path).open()
    assert not target.exists() or target.read_text() == "mine"


async def test_a_full_disk_ends_the_recording_and_nothing_else(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    recorder = make_recorder(tmp_path / "rec.jsonl")
    async with http_server(http_reply(b'{"a": "' + b"x" * 900 + b'"}', headers=JSON_TYPE)) as server:
        client = make_client(recorder, server, Redactor())
        await client.request("GET", "/first")
        size = (tmp_path / "rec.jsonl").stat().st_size
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
            answers = [(await client.request("GET", "/later")).status for _turn in range(3)]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)
        await client.aclose()
    assert answers == [200, 200, 200]
    summary = recorder.close()
    assert summary.failure
    assert summary.exchanges == 1
    assert (tmp_path / "rec.jsonl").stat().st_size == size, "nothing of the line that failed is left"
    assert len(read_recording(tmp_path / "rec.jsonl")) == 1


KILLED = """\
import asyncio, logging, os, sys
from functools import partial
from pathlib import Path
from tests.infra.test_recording_file import http_reply, http_server, make_client, make_recorder, JSON_TYPE, Redactor

async def main():
    recorder = make_recorder(Path(sys.argv[1]))
    async with http_server(http_reply(b'{"a": 1}', headers=JSON_TYPE)) as server:
        client = make_client(recorder, server, Redactor())
        for number in range(int(sys.argv[2])):
            await client.request("GET", f"/{number}")
        os._exit(9)

asyncio.run(main())
"""


def test_what_was_exchanged_before_a_kill_is_there(tmp_path: Path) -> None:
    path = tmp_path / "rec.jsonl"
    subprocess.run([sys.executable, "-c", KILLED, str(path), "5"], check=False, cwd=Path(__file__).parents[2])
    assert len(read_recording(path)) == 5
    whole = path.read_bytes()
    for cut in (1, 40, 300):
        path.write_bytes(whole[:-cut])
        assert len(read_recording(path)) == 4, "a line that was cut short is ignored"
    assert os.access(path, os.R_OK)
