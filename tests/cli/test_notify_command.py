"""`gpurent notify test` as typed, and how much a bad notifier may delay any command."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import monotonic

import pytest

from gpurent.testing.load_timeouts import load_factor
from tests.cli.test_commands import home, run_gpurent

__all__ = ["home"]


def _content_length(text: bytes) -> int:
    found = re.search(rb"(?i)content-length: (\d+)", text)
    return int(found[1]) if found else 0


@contextmanager
def answering_server(reply: bytes | None) -> Iterator[tuple[str, list[bytes]]]:
    """Accept connections and answer all of them with ``reply``; None: never answer."""
    seen: list[bytes] = []
    held: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _from = listener.accept()
            except OSError:
                return
            held.append(line)
            text = line.recv(65536)
            while b"\r\n\r\n" not in text or len(text.partition(b"\r\n\r\n")[2]) < _content_length(text):
                text += line.recv(65536)
            seen.append(text)
            if reply is not None:
                line.sendall(reply)

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/key-CANARY", seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for line in held:
            line.close()


OK_REPLY = b"HTTP/1.1 204 No Content\r\n\r\n"


def test_no_notifier_is_configured(home: Path) -> None:
    result = run_gpurent(home, "notify", "test")
    assert result.code == 2
    assert "no notifier is set up" in result.err
    assert "[webhook]" in result.err
    assert "[apprise]" in result.err


def test_accepted_message(home: Path) -> None:
    with answering_server(OK_REPLY) as (url, seen):
        result = run_gpurent(home, "notify", "test", "webhook", GPURENT_WEBHOOK_URL=url)
    assert result.code == 0, result.err
    assert "accepted" in result.out
    assert "CANARY" not in result.out + result.err
    assert seen[0].startswith(b"POST /key-CANARY HTTP/1.1\r\n")


@pytest.mark.parametrize("reply", [b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", None])
def test_rejected_message(home: Path, reply: bytes | None) -> None:
    timeout = 5 * load_factor()
    with answering_server(OK_REPLY) as (good, _seen), answering_server(reply) as (bad, _never):
        result = run_gpurent(
            home,
            *("notify", "test", "--json"),
            GPURENT_WEBHOOK_URL=bad,
            GPURENT_APPRISE_URLS=good.replace("http://", "json://"),
            # Loading a notifier counts, and takes longer on a busy computer.
            GPURENT_NOTIFY_TIMEOUT=f"{timeout:.0f}",
        )
    assert result.code == 8
    outcomes = {item["name"]: item for item in json.loads(result.out)["data"]}
    assert outcomes["apprise"]["ok"] is True
    assert outcomes["webhook"]["ok"] is False
    assert ("500" if reply else "answer") in outcomes["webhook"]["reason"]
    assert "CANARY" not in result.out + result.err


def test_message_in_chinese(home: Path) -> None:
    (home / "state" / "config.toml").write_text('[notify]\nlanguage = "zh"\n')
    with answering_server(OK_REPLY) as (url, seen):
        result = run_gpurent(home, "notify", "test", "webhook", GPURENT_WEBHOOK_URL=url)
    assert result.code == 0, result.err
    assert b'"kind": "test"' in seen[0]


def test_a_hanging_notifier_holds_a_command_no_longer_than_its_limit(home: Path) -> None:
    """A warning of the command goes to a notifier that never accepts it."""
    code = (
        "import asyncio, sys\n"
        "from gpurent.cli.context import CliContext\n"
        "from gpurent.cli.builtin import load_registry\n"
        "from gpurent.domain.events import EventKind\n"
        "async def go(application):\n"
        "    application.events.emit(EventKind.WARNING, 'something')\n"
        "    return 1\n"
        "app = CliContext(registry=load_registry(), command='x', as_json=True)\n"
        "app.show({'x': app.run(go)}, '')\n"
    )
    # Long enough for the notice to be on its way; the webhook itself gives up after some seconds.
    limit = min(4, max(1, round(load_factor())))
    with answering_server(None) as (url, seen):
        started = monotonic()
        environment = {
            "PATH": os.environ["PATH"],
            "GPURENT_HOME": str(home / "state"),
            "GPURENT_WEBHOOK_URL": url,
            "GPURENT_NOTIFY_TIMEOUT": f"{limit}",
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
            timeout=60 * limit,
        )
        assert monotonic() - started < 30 * limit
    assert json.loads(done.stdout) == {"version": 1, "command": "x", "ok": True, "data": {"x": 1}}
    assert f"notifier webhook failed: no answer within {limit} s" in done.stderr
    assert "1 notification was not sent" in done.stderr
    assert len(seen) == 1


def test_top_needs_a_terminal_or_once(home: Path) -> None:
    result = run_gpurent(home, "top")
    assert result.code == 2
    assert "top --once" in result.err
    result = run_gpurent(home, "top", "--once")
    assert result.code == 0
    assert "No machine is costing money now." in result.out
    assert json.loads(run_gpurent(home, "top", "--json").out)["data"] == []


def test_top_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from gpurent.cli.commands import top
    from gpurent.errors import PluginError

    for name in [name for name in sys.modules if name.startswith("gpurent.cli.top")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual.app", None)
    with pytest.raises(PluginError, match="textual") as caught:
        top._load_screen_class()
    assert caught.value.hint == "pip install 'gpurent[tui]'"
