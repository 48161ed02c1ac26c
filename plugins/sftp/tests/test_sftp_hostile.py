# ruff: noqa: E501 - one attack a line
"""A far side that lies: whatever it says, nothing is written outside the target folder and nothing hangs."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh.constants import FX_CONNECTION_LOST, FX_FAILURE, FX_NO_SUCH_FILE, FX_PERMISSION_DENIED
from asyncssh.sftp import SFTPName

from gpurent.api import GpurentError, Limits, Pull, TransferError, TransferReport, UnavailableError
from gpurent.testing.contracts.hostile import NAMES, TARGETS, jail, must_hold
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.patience import factor
from gpurent.testing.sandbox.malicious_sftp import (
    DEVICE,
    EVIL,
    FILE,
    FOLDER,
    LINK,
    MaliciousAnswers,
    attributes,
    entry,
    malicious_connection,
)
from gpurent_plugin_sftp import pull as pulling, remote, walk
from gpurent_plugin_sftp.backend import Sftp

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_SILENCE", 0.8 * factor())
    monkeypatch.setattr(remote, "FAREWELL", 0.1)
    monkeypatch.setattr(pulling, "DIGEST", 0.8 * factor())
    monkeypatch.setattr(walk, "MAX_MEMORY", 2 << 20)


async def pull(
    tmp_path: Path,
    script: MaliciousAnswers,
    *sources: str,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> TransferReport | GpurentError:
    cargo = Pull(sources=sources or ("out",), target=jail(tmp_path), limits=limits)
    async with malicious_connection(script) as link:
        try:
            return await Sftp().pull(link, cargo, CountingProgress())
        except GpurentError as error:
            return error


@pytest.mark.parametrize("kind", [FILE, FOLDER, LINK])
async def test_names_that_may_not_be(tmp_path: Path, kind: int) -> None:
    for number, (what, name) in enumerate(NAMES.items()):
        room = tmp_path / str(number)
        script = MaliciousAnswers(
            {b"out": [entry(name, kind), entry(b"zz good")], b"out/" + name: [entry(b"evil")]}
        )
        script.links[b"out/" + name] = b"zz good"
        found = await pull(room, script)
        must_hold(room, found)
        assert isinstance(found, TransferReport), (what, found)
        assert {path.name for path in jail(room).rglob("*")} == {"out", "zz good"}, what
        assert len(found.skipped) == (name not in (b".", b"..")), what


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
async def test_a_link_that_may_not_be(tmp_path: Path, target: bytes) -> None:
    top = [entry(b"evil", LINK), entry(b"sub", FOLDER), entry(b"zz", LINK)]
    script = MaliciousAnswers({b"out": top, b"out/sub": [entry(b"up", LINK)], b"out/evil": [entry(b"below")]})
    script.links = {b"out/evil": target, b"out/sub/up": b"..", b"out/zz": b"evil"}
    found = await pull(tmp_path, script)
    must_hold(tmp_path, found)
    assert isinstance(found, TransferReport)
    assert [item.name for item in found.skipped] == ["out/evil"]
    assert (jail(tmp_path) / "out" / "sub" / "up").readlink() == Path("..")


def numbered(kind: int) -> Callable[[bytes], AsyncIterator[SFTPName]]:
    async def scandir(path: bytes) -> AsyncIterator[SFTPName]:
        for number in count():
            yield entry(b"%09d" % number, kind)
            await asyncio.sleep(0)

    return scandir


async def dots(path: bytes) -> AsyncIterator[SFTPName]:
    while True:
        yield entry(b".", FOLDER)


async def deeper(path: bytes) -> AsyncIterator[SFTPName]:
    yield entry(b"d", FOLDER)


async def again(path: bytes) -> AsyncIterator[SFTPName]:
    while True:
        yield entry(b"f")


ENDLESS = {"files": numbered(FILE), "links": numbered(LINK), "devices": numbered(DEVICE), "dots": dots, "one name": again, "depth": deeper}  # fmt: skip


@pytest.mark.parametrize("scandir", ENDLESS.values(), ids=ENDLESS)
async def test_a_listing_without_end(tmp_path: Path, scandir: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_SILENCE", 60.0)  # a busy computer is not a silent machine
    found = await pull(tmp_path, MaliciousAnswers(answers={"scandir": scandir}))
    must_hold(tmp_path, found)
    assert isinstance(found, TransferError)
    assert "more names than" in found.message or "deeper" in found.message


TREES: dict[str, list[SFTPName]] = {
    "the same name twice": [entry(b"f"), entry(b"f")],
    "a file, then a folder": [entry(b"f"), entry(b"f", FOLDER)],
    "a folder, then a link": [entry(b"sub", FOLDER), entry(b"sub", LINK)],
    "a device": [entry(b"dev", DEVICE)],
    "no kind at all": [SFTPName(b"f", longname=b"-", attrs=asyncssh.SFTPAttrs())],
    "an unknown kind": [entry(b"f", 0o170000)],
    "set-user-id": [entry(b"su", mode=0o4777)],
    "an enormous size": [entry(b"big", size=(1 << 64) - 1)],
    "many large ones": [entry(b"%02d" % number, size=1 << 40) for number in range(20)],
    "a size that is too small": [entry(b"f", size=2)],
    "a size that is too large": [entry(b"f", size=5000)],
    "the last second": [entry(b"f", mtime=0xFFFFFFFF)],
}


@pytest.mark.parametrize("entries", TREES.values(), ids=TREES)
async def test_a_listing_that_may_not_be(tmp_path: Path, entries: list[SFTPName]) -> None:
    found = await pull(tmp_path, MaliciousAnswers({b"out": entries}))
    must_hold(tmp_path, found)


async def test_links_that_lie_here_already_are_not_followed(tmp_path: Path) -> None:
    target, elsewhere = jail(tmp_path), tmp_path / "elsewhere"
    (target / "out").mkdir(parents=True)
    elsewhere.mkdir()
    (target / "out" / "sub").symlink_to(elsewhere)
    (target / "out" / "zf").symlink_to(elsewhere / "zf")
    (target / ".gpurent-part").symlink_to(elsewhere)
    for script in (
        MaliciousAnswers({b"out": [entry(b"sub", FOLDER)], b"out/sub": [entry(b"evil")]}),
        MaliciousAnswers({b"out": [entry(b"zf")]}),
        MaliciousAnswers({b"out": [entry(b"l", LINK)]}, {b"out/l": b"zf"}),
    ):
        assert isinstance(await pull(tmp_path, script), TransferError)
    assert list(elsewhere.iterdir()) == []


def fails(code: int, text: str = "no \x1b[31m") -> Callable[..., Any]:
    def fail(*given: object) -> None:
        raise asyncssh.SFTPError(code, text)

    return fail


def other(*given: object, turn: Any = count()) -> bytes:  # noqa: B008 - one for all
    return b"%04d" % next(turn)


ANSWERS: dict[str, tuple[str, Callable[..., Any]]] = {
    "more than was asked": ("read", lambda at, size: b"x" * (4 << 20)),
    "something else each time": ("read", other),
    "nothing at all": ("read", lambda at, size: b""),
    "a byte at a time": ("read", lambda at, size: EVIL[at : at + 1]),
    "an error in the middle": ("read", fails(FX_FAILURE)),
    "a lost line": ("read", fails(FX_CONNECTION_LOST)),
    "an unknown error": ("read", fails(4711)),
    "a folder when it is opened": ("open", fails(FX_FAILURE)),
    "gone when it is opened": ("open", fails(FX_NO_SUCH_FILE)),
    "closed when it is opened": ("open", fails(FX_PERMISSION_DENIED)),
    "an error when it is closed": ("close", fails(FX_FAILURE)),
    "a folder when it was read": ("fstat", lambda path: attributes(FOLDER)),
    "another size when it was read": ("fstat", lambda path: attributes(FILE, size=1 << 60)),
    "an error at first": ("lstat", fails(FX_FAILURE)),
    "a device at first": ("lstat", lambda path: attributes(DEVICE)),
    "a link without a place": ("readlink", fails(FX_FAILURE)),
}


@pytest.mark.parametrize(("what", "answer"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_may_not_be(tmp_path: Path, what: str, answer: Callable[..., Any]) -> None:
    entries = [entry(b"a"), entry(b"l", LINK)]
    found = await pull(tmp_path, MaliciousAnswers({b"out": entries}, {b"out/l": b"a"}, {what: answer}))
    must_hold(tmp_path, found)
    came = jail(tmp_path) / "out" / "a"
    assert not came.exists() or came.read_bytes() == EVIL
    assert came.exists() == (what == "readlink" or answer is ANSWERS["a byte at a time"][1]), found


@pytest.mark.parametrize("what", ["lstat", "open", "read", "fstat", "close", "readlink"])
async def test_an_answer_that_never_comes(tmp_path: Path, what: str) -> None:
    script = MaliciousAnswers({b"out": [entry(b"a"), entry(b"l", LINK)]}, {b"out/l": b"a"})
    script.answers[what] = script.hang
    found = await pull(tmp_path, script)
    must_hold(tmp_path, found)
    assert isinstance(found, UnavailableError)
    assert found.retryable
    assert what in script.asked


async def test_a_listing_that_never_comes(tmp_path: Path) -> None:
    script = MaliciousAnswers()

    async def scandir(path: bytes) -> AsyncIterator[SFTPName]:
        for number in range(128):  # as many as one answer holds
            yield entry(b"%09d" % number)
        await script.over.wait()

    script.answers["scandir"] = scandir
    found = await pull(tmp_path, script)
    must_hold(tmp_path, found)
    assert isinstance(found, UnavailableError)


async def flood(process: asyncssh.SSHServerProcess[bytes]) -> None:
    for _ in range(400):
        process.stdout.write(b"0" * 64 + b"\n" + b"x" * 65536)
        await process.stdout.drain()


async def wrong(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"0" * 64 + b"  a\n")
    process.exit(0)


async def silence(process: asyncssh.SSHServerProcess[bytes]) -> None:
    if "command -v" in (process.command or ""):
        process.exit(0)
    await process.wait_closed()


SHELLS = {"a flood of digests": flood, "a wrong digest": wrong, "no digest, ever": silence}


@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)
async def test_a_shell_that_lies(tmp_path: Path, shell: Any) -> None:
    found = await pull(tmp_path, MaliciousAnswers({b"out": [entry(b"a")]}, shell=shell))
    must_hold(tmp_path, found)
    came = jail(tmp_path) / "out" / "a"
    assert not came.exists() or came.read_bytes() == EVIL
    assert isinstance(found, GpurentError) or came.exists()


def packet(kind: int, body: bytes) -> bytes:
    return struct.pack(">IB", 1 + len(body), kind) + body


def string(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


VERSION = packet(2, struct.pack(">I", 3))
NUMBER = struct.pack(">I", 0)
RAW = {
    "nothing": b"",
    "garbage": b"\xff" * 100,
    "another protocol": b"SSH-2.0-no\r\n" * 20,
    "a version of the future": packet(2, struct.pack(">I", 99)),
    "a version without end": struct.pack(">I", 1 << 31),
    "silence": VERSION,
    "an answer to nothing": VERSION + packet(101, struct.pack(">II", 99, 0) + string(b"") + string(b"")),
    "yes": VERSION + packet(101, NUMBER + struct.pack(">I", 0) + string(b"yes") + string(b"")),
    "another kind of answer": VERSION + packet(103, NUMBER + string(b"data")),
    "an unknown kind": VERSION + packet(77, NUMBER),
    "a packet of gigabytes": VERSION + struct.pack(">I", 0xFFFFFFFF),
    "attributes cut short": VERSION + packet(105, NUMBER + struct.pack(">I", 0xFFFFFFFF)),
    "billions of names": VERSION + packet(104, NUMBER + struct.pack(">I", 0xFFFFFFFF)),
    "an error that is no UTF-8": VERSION + packet(101, NUMBER + struct.pack(">I", 4) + string(b"\xff\x1b[2J") + string(b"\xff")),
}  # fmt: skip


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
async def test_no_protocol_at_all(tmp_path: Path, raw: bytes) -> None:
    found = await pull(tmp_path, MaliciousAnswers(raw=raw))
    must_hold(tmp_path, found)
    assert isinstance(found, TransferError | UnavailableError), found
