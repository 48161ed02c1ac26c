# ruff: noqa: E501 - one attack a line
"""A lying remote side: whatever it sends, nothing is written outside the target folder and nothing hangs."""

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

from gpurent.api import (
    GpurentError,
    PullRequest,
    SkipKind,
    TransferError,
    TransferLimits,
    TransferReport,
    UnavailableError,
)
from gpurent.testing.contracts.hostile_names import (
    HOSTILE_LINK_TARGETS,
    HOSTILE_NAMES,
    check_contained,
    get_target_folder,
)
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.load_timeouts import load_factor
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.sandbox.malicious_sftp import (
    DEVICE,
    FILE,
    FOLDER,
    LINK,
    MALICIOUS_CONTENT,
    MaliciousScript,
    make_attributes,
    make_entry,
    malicious_connection,
)
from gpurent_plugin_sftp import pull as pulling, remote_walk, sftp_client
from gpurent_plugin_sftp.backend import SftpBackend

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sftp_client, "MAX_SILENCE", 0.8 * load_factor())
    monkeypatch.setattr(sftp_client, "CLOSE_TIMEOUT", 0.1)
    monkeypatch.setattr(pulling, "DIGEST_TIMEOUT", 0.8 * load_factor())
    monkeypatch.setattr(remote_walk, "MAX_LISTING_BYTES", 2 << 20)


async def attempt_pull(
    tmp_path: Path,
    script: MaliciousScript,
    *sources: str,
    limits: TransferLimits = TransferLimits(),  # noqa: B008 - frozen
) -> TransferReport | GpurentError:
    request = PullRequest(sources=sources or ("out",), target=get_target_folder(tmp_path), limits=limits)
    async with malicious_connection(script) as connection:
        try:
            return await SftpBackend(LOCAL_FILES).pull(connection, request, CountingProgress())
        except GpurentError as error:
            return error


@pytest.mark.parametrize("kind", [FILE, FOLDER, LINK])
async def test_invalid_names_are_skipped(tmp_path: Path, kind: int) -> None:
    for number, (label, name) in enumerate(HOSTILE_NAMES.items()):
        folder = tmp_path / str(number)
        script = MaliciousScript(
            {b"out": [make_entry(name, kind), make_entry(b"zz good")], b"out/" + name: [make_entry(b"evil")]}
        )
        script.links[b"out/" + name] = b"zz good"
        found = await attempt_pull(folder, script)
        check_contained(folder, found)
        assert isinstance(found, TransferReport), (label, found)
        assert {path.name for path in get_target_folder(folder).rglob("*")} == {"out", "zz good"}, label
        # The files of a folder whose name is only refused here are listed too; an impossible name is not asked about.
        is_walked = kind == FOLDER and b"/" not in name and name not in (b"", b".", b"..")
        assert len(found.skipped) == (name not in (b".", b"..")) + is_walked, label
        assert sum(item.kind is SkipKind.NAME for item in found.skipped) == (
            is_walked or (kind == FILE and b"/" not in name and name not in (b"", b".", b".."))
        ), label


@pytest.mark.parametrize("target", HOSTILE_LINK_TARGETS.values(), ids=HOSTILE_LINK_TARGETS)
async def test_invalid_link_is_skipped(tmp_path: Path, target: bytes) -> None:
    top = [make_entry(b"evil", LINK), make_entry(b"sub", FOLDER), make_entry(b"zz", LINK)]
    script = MaliciousScript(
        {b"out": top, b"out/sub": [make_entry(b"up", LINK)], b"out/evil": [make_entry(b"below")]}
    )
    script.links = {b"out/evil": target, b"out/sub/up": b"..", b"out/zz": b"evil"}
    found = await attempt_pull(tmp_path, script)
    check_contained(tmp_path, found)
    assert isinstance(found, TransferReport)
    assert [item.name for item in found.skipped] == ["out/evil"]
    assert (get_target_folder(tmp_path) / "out" / "sub" / "up").readlink() == Path("..")


def make_numbered_listing(kind: int) -> Callable[[bytes], AsyncIterator[SFTPName]]:
    async def scandir(path: bytes) -> AsyncIterator[SFTPName]:
        for number in count():
            yield make_entry(b"%09d" % number, kind)
            await asyncio.sleep(0)

    return scandir


async def list_endless_dots(path: bytes) -> AsyncIterator[SFTPName]:
    while True:
        yield make_entry(b".", FOLDER)


async def list_endless_depth(path: bytes) -> AsyncIterator[SFTPName]:
    yield make_entry(b"d", FOLDER)


async def list_one_name_forever(path: bytes) -> AsyncIterator[SFTPName]:
    while True:
        yield make_entry(b"f")


ENDLESS_LISTINGS = {"files": make_numbered_listing(FILE), "links": make_numbered_listing(LINK), "devices": make_numbered_listing(DEVICE), "dots": list_endless_dots, "one name": list_one_name_forever, "depth": list_endless_depth}  # fmt: skip


@pytest.mark.parametrize("scandir", ENDLESS_LISTINGS.values(), ids=ENDLESS_LISTINGS)
async def test_endless_listing_is_refused(
    tmp_path: Path, scandir: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sftp_client, "MAX_SILENCE", 60.0)  # a busy computer is not a silent machine
    found = await attempt_pull(tmp_path, MaliciousScript(answers={"scandir": scandir}))
    check_contained(tmp_path, found)
    assert isinstance(found, TransferError)
    assert "more names than" in found.message or "folders deep" in found.message


BAD_LISTINGS: dict[str, list[SFTPName]] = {
    "the same name twice": [make_entry(b"f"), make_entry(b"f")],
    "a file, then a folder": [make_entry(b"f"), make_entry(b"f", FOLDER)],
    "a folder, then a link": [make_entry(b"sub", FOLDER), make_entry(b"sub", LINK)],
    "a device": [make_entry(b"dev", DEVICE)],
    "no kind at all": [SFTPName(b"f", longname=b"-", attrs=asyncssh.SFTPAttrs())],
    "an unknown kind": [make_entry(b"f", 0o170000)],
    "set-user-id": [make_entry(b"su", mode=0o4777)],
    "an enormous size": [make_entry(b"big", size=(1 << 64) - 1)],
    "many large ones": [make_entry(b"%02d" % number, size=1 << 40) for number in range(20)],
    "a size that is too small": [make_entry(b"f", size=2)],
    "a size that is too large": [make_entry(b"f", size=5000)],
    "the last second": [make_entry(b"f", mtime=0xFFFFFFFF)],
}


@pytest.mark.parametrize("entries", BAD_LISTINGS.values(), ids=BAD_LISTINGS)
async def test_invalid_listing_writes_nothing_outside(tmp_path: Path, entries: list[SFTPName]) -> None:
    found = await attempt_pull(tmp_path, MaliciousScript({b"out": entries}))
    check_contained(tmp_path, found)


async def test_existing_local_links_are_not_followed(tmp_path: Path) -> None:
    target, elsewhere = get_target_folder(tmp_path), tmp_path / "elsewhere"
    (target / "out").mkdir(parents=True)
    elsewhere.mkdir()
    (target / "out" / "sub").symlink_to(elsewhere)
    (target / "out" / "zf").symlink_to(elsewhere / "zf")
    (target / ".gpurent-part").symlink_to(elsewhere)
    for script in (
        MaliciousScript({b"out": [make_entry(b"sub", FOLDER)], b"out/sub": [make_entry(b"evil")]}),
        MaliciousScript({b"out": [make_entry(b"zf")]}),
        MaliciousScript({b"out": [make_entry(b"l", LINK)]}, {b"out/l": b"zf"}),
    ):
        assert isinstance(await attempt_pull(tmp_path, script), TransferError)
    assert list(elsewhere.iterdir()) == []


def make_failing_answer(code: int, text: str = "no \x1b[31m") -> Callable[..., Any]:
    def fail(*args: object) -> None:
        raise asyncssh.SFTPError(code, text)

    return fail


def read_changing_bytes(*args: object, turn: Any = count()) -> bytes:  # noqa: B008 - one for all
    return b"%04d" % next(turn)


BAD_ANSWERS: dict[str, tuple[str, Callable[..., Any]]] = {
    "more than was asked": ("read", lambda at, size: b"x" * (4 << 20)),
    "something else each time": ("read", read_changing_bytes),
    "nothing at all": ("read", lambda at, size: b""),
    "a byte at a time": ("read", lambda at, size: MALICIOUS_CONTENT[at : at + 1]),
    "an error in the middle": ("read", make_failing_answer(FX_FAILURE)),
    "a lost line": ("read", make_failing_answer(FX_CONNECTION_LOST)),
    "an unknown error": ("read", make_failing_answer(4711)),
    "a folder when it is opened": ("open", make_failing_answer(FX_FAILURE)),
    "gone when it is opened": ("open", make_failing_answer(FX_NO_SUCH_FILE)),
    "closed when it is opened": ("open", make_failing_answer(FX_PERMISSION_DENIED)),
    "an error when it is closed": ("close", make_failing_answer(FX_FAILURE)),
    "a folder when it was read": ("fstat", lambda path: make_attributes(FOLDER)),
    "another size when it was read": ("fstat", lambda path: make_attributes(FILE, size=1 << 60)),
    "an error at first": ("lstat", make_failing_answer(FX_FAILURE)),
    "a device at first": ("lstat", lambda path: make_attributes(DEVICE)),
    "a link without a place": ("readlink", make_failing_answer(FX_FAILURE)),
}


@pytest.mark.parametrize(("operation", "answer"), BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_invalid_answer_writes_nothing_wrong(
    tmp_path: Path, operation: str, answer: Callable[..., Any]
) -> None:
    entries = [make_entry(b"a"), make_entry(b"l", LINK)]
    found = await attempt_pull(
        tmp_path, MaliciousScript({b"out": entries}, {b"out/l": b"a"}, {operation: answer})
    )
    check_contained(tmp_path, found)
    came = get_target_folder(tmp_path) / "out" / "a"
    assert not came.exists() or came.read_bytes() == MALICIOUS_CONTENT
    assert came.exists() == (operation == "readlink" or answer is BAD_ANSWERS["a byte at a time"][1]), found


@pytest.mark.parametrize("operation", ["lstat", "open", "read", "fstat", "close", "readlink"])
async def test_missing_answer_times_out(tmp_path: Path, operation: str) -> None:
    script = MaliciousScript({b"out": [make_entry(b"a"), make_entry(b"l", LINK)]}, {b"out/l": b"a"})
    script.answers[operation] = script.wait_until_over
    found = await attempt_pull(tmp_path, script)
    check_contained(tmp_path, found)
    assert isinstance(found, UnavailableError)
    assert found.retryable
    assert operation in script.requests


async def test_a_machine_that_falls_silent_ends_all_files(tmp_path: Path) -> None:
    script = MaliciousScript({b"out": [make_entry(b"%d" % number) for number in range(20)]})
    for operation in ("read", "fstat", "close"):  # so that the clean-up has no answer either
        script.answers[operation] = script.wait_until_over
    found = await attempt_pull(tmp_path, script)
    assert isinstance(found, UnavailableError)
    assert found.retryable


async def test_an_error_of_one_file_is_raised_when_the_others_have_arrived(tmp_path: Path) -> None:
    def fail(path: bytes) -> None:
        if path == b"out/a":
            raise asyncssh.SFTPError(FX_FAILURE, "bad sector")

    script = MaliciousScript({b"out": [make_entry(b"a"), make_entry(b"b")]}, answers={"open": fail})
    found = await attempt_pull(tmp_path, script)
    assert isinstance(found, TransferError)
    assert "out/a" in found.message
    assert "bad sector" in found.message
    assert [path.name for path in (get_target_folder(tmp_path) / "out").iterdir()] == ["b"]


async def test_missing_listing_times_out(tmp_path: Path) -> None:
    script = MaliciousScript()

    async def scandir(path: bytes) -> AsyncIterator[SFTPName]:
        for number in range(128):  # as many as fit in one answer
            yield make_entry(b"%09d" % number)
        await script.over.wait()

    script.answers["scandir"] = scandir
    found = await attempt_pull(tmp_path, script)
    check_contained(tmp_path, found)
    assert isinstance(found, UnavailableError)


async def run_flooding_shell(process: asyncssh.SSHServerProcess[bytes]) -> None:
    for _ in range(400):
        process.stdout.write(b"0" * 64 + b"\n" + b"x" * 65536)
        await process.stdout.drain()


async def run_wrong_digest_shell(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"0" * 64 + b"  a\n")
    process.exit(0)


async def run_silent_shell(process: asyncssh.SSHServerProcess[bytes]) -> None:
    if "command -v" in (process.command or ""):
        process.exit(0)
    await process.wait_closed()


BAD_SHELLS = {
    "a flood of digests": run_flooding_shell,
    "a wrong digest": run_wrong_digest_shell,
    "no digest, ever": run_silent_shell,
}


@pytest.mark.parametrize("shell", BAD_SHELLS.values(), ids=BAD_SHELLS)
async def test_lying_shell_is_not_trusted(tmp_path: Path, shell: Any) -> None:
    found = await attempt_pull(tmp_path, MaliciousScript({b"out": [make_entry(b"a")]}, shell=shell))
    check_contained(tmp_path, found)
    came = get_target_folder(tmp_path) / "out" / "a"
    assert not came.exists() or came.read_bytes() == MALICIOUS_CONTENT
    assert isinstance(found, GpurentError) or came.exists()


def make_packet(kind: int, body: bytes) -> bytes:
    return struct.pack(">IB", 1 + len(body), kind) + body


def pack_string(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


VERSION_PACKET = make_packet(2, struct.pack(">I", 3))
REQUEST_ID = struct.pack(">I", 0)
RAW_ANSWERS = {
    "nothing": b"",
    "garbage": b"\xff" * 100,
    "another protocol": b"SSH-2.0-no\r\n" * 20,
    "a version of the future": make_packet(2, struct.pack(">I", 99)),
    "a version without end": struct.pack(">I", 1 << 31),
    "silence": VERSION_PACKET,
    "an answer to nothing": VERSION_PACKET + make_packet(101, struct.pack(">II", 99, 0) + pack_string(b"") + pack_string(b"")),
    "yes": VERSION_PACKET + make_packet(101, REQUEST_ID + struct.pack(">I", 0) + pack_string(b"yes") + pack_string(b"")),
    "another kind of answer": VERSION_PACKET + make_packet(103, REQUEST_ID + pack_string(b"data")),
    "an unknown kind": VERSION_PACKET + make_packet(77, REQUEST_ID),
    "a packet of gigabytes": VERSION_PACKET + struct.pack(">I", 0xFFFFFFFF),
    "attributes cut short": VERSION_PACKET + make_packet(105, REQUEST_ID + struct.pack(">I", 0xFFFFFFFF)),
    "billions of names": VERSION_PACKET + make_packet(104, REQUEST_ID + struct.pack(">I", 0xFFFFFFFF)),
    "an error that is no UTF-8": VERSION_PACKET + make_packet(101, REQUEST_ID + struct.pack(">I", 4) + pack_string(b"\xff\x1b[2J") + pack_string(b"\xff")),
}  # fmt: skip


@pytest.mark.parametrize("raw", RAW_ANSWERS.values(), ids=RAW_ANSWERS)
async def test_invalid_protocol_is_an_error(tmp_path: Path, raw: bytes) -> None:
    found = await attempt_pull(tmp_path, MaliciousScript(raw=raw))
    check_contained(tmp_path, found)
    assert isinstance(found, TransferError | UnavailableError), found
