# ruff: noqa: E501 - one attack a line
"""A lying remote side: whatever it sends, nothing is written outside the target folder and nothing hangs."""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from gpurent.api import (
    FileProblem,
    GpurentError,
    PullRequest,
    TransferError,
    TransferLimits,
    TransferReport,
    UnavailableError,
)
from gpurent.testing.contracts.hostile_names import (
    HOSTILE_LINK_TARGETS,
    HOSTILE_NAMES as COMMON,
    check_contained,
    get_target_folder,
)
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.local_files import open_target
from gpurent_plugin_turbo.near.connection import stream_pool
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.pull import name_policy
from gpurent_plugin_turbo.near.pull.pull_scheduler import END_OF_LISTING
from gpurent_plugin_turbo.near.pull.puller import StreamPuller
from gpurent_plugin_turbo.shared import wire
from gpurent_plugin_turbo.shared.codec import BLAKE, RAW, ZLIB, compute_digest
from gpurent_plugin_turbo.shared.wire import (
    CHANGED,
    FILE,
    FOLDER,
    LINK,
    MISSING,
    OTHER,
    REQUESTED_PIECE,
    UNCHANGED,
    UNIT_HEADER,
    UNREADABLE,
    FrameStream,
)

Row = tuple[int, int, int, int, bytes, bytes]
EVIL = b"evil"
LIMITS = TransferLimits()


def make_row(
    name: bytes, kind: int = FILE, size: int = len(EVIL), link: bytes = b"", mode: int = 0o644
) -> Row:
    return (kind, mode, size, 10**18, name, link)


class MaliciousHelper(CommandConnection):
    """A remote side in a thread. ``rows`` is its listing; ``override`` replaces its answers."""

    def __init__(
        self, rows: list[Row], override: Callable[[MaliciousHelper, int, bytes, bytes], bool] | None = None
    ) -> None:
        up, down = os.pipe(), os.pipe()
        self.frames = FrameStream(down[0], up[1])
        self.far_frames = FrameStream(up[0], down[1])
        self._fds = [*up, *down]
        self.rows, self.override = [rows], override
        self.thread = Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        try:
            self.far_frames.send_frame(ord("O"), b"3")
            while True:
                kind, header, size = self.far_frames.read_header()
                body = bytes(self.far_frames.read(size)) if size else b""
                if self.override is None or not self.override(self, kind, header, body):
                    self.answer_request(kind, header, body)
        except (wire.ConnectionEnded, OSError):
            return

    def answer_request(self, kind: int, header: bytes, body: bytes) -> None:
        if kind == ord("m"):
            rows = self.rows.pop() if self.rows else None
            number = 0 if rows is not None else END_OF_LISTING
            table = zlib.compress(wire.encode_table(rows), 1) if rows is not None else b""
            self.far_frames.send_frame(ord("M"), struct.pack(">I", number), table)
        elif kind == ord("G"):
            requested = wire.decode_table(zlib.decompress(body))[0]
            answer_rows = [(UNCHANGED, 0o644, item[2], 0, b"", b"") for item in requested]
            self.send_unit(
                ord("P"),
                header,
                wire.encode_table(answer_rows) + b"".join(EVIL[: item[2]] for item in requested),
            )
        elif kind == ord("g"):
            _, _, length, _, _ = REQUESTED_PIECE.unpack(header)
            self.send_unit(ord("S"), header[:4], b"e" * length)

    def send_unit(
        self, kind: int, number: bytes, data: bytes, *, codec: int = RAW, size: int = -1, digest: bytes = b""
    ) -> None:
        body = zlib.compress(data) if codec == ZLIB else data
        found = digest or compute_digest(BLAKE, data)
        length = len(data) if size < 0 else size
        self.far_frames.send_frame(
            kind, UNIT_HEADER.pack(struct.unpack(">I", number)[0], codec, BLAKE, length, found), body
        )

    def abort(self) -> None:
        for handle in self._fds[1:2] + self._fds[3:]:
            with contextlib.suppress(OSError):
                os.close(handle)

    def close(self) -> None:
        for handle in self._fds[0:1] + self._fds[2:3]:  # wakes a thread that writes to a pipe nobody reads
            os.close(handle)
        self.thread.join()

    def explain_end(self) -> GpurentError:
        return UnavailableError("the line is lost", retryable=True)


def override_answer(
    kind: str, answer: Callable[[MaliciousHelper, bytes, bytes], None]
) -> Callable[[MaliciousHelper, int, bytes, bytes], bool]:
    """Answer requests of one kind with ``answer``."""

    def answer_if_asked(helper: MaliciousHelper, asked: int, header: bytes, body: bytes) -> bool:
        if asked != ord(kind):
            return False
        answer(helper, header, body)
        return True

    return answer_if_asked


BAD_NAMES = {
    **{label: b"out/" + name for label, name in COMMON.items() if label != "two in one"},
    "above": b"../evil", "at the top": b"/tmp/evil-of-gpurent", "not asked for": b"other/evil", "no name": b"",
}  # fmt: skip


def attempt_pull(
    tmp_path: Path, helper: MaliciousHelper, limits: TransferLimits = LIMITS
) -> TransferReport | GpurentError:
    request = PullRequest(sources=("out",), target=get_target_folder(tmp_path), limits=limits)
    try:
        return StreamPuller(
            request, open_target(request), CountingProgress(), lambda first: helper, max_streams=1
        ).run()
    except GpurentError as error:
        return error


def pull_and_check(
    tmp_path: Path, helper: MaliciousHelper, *, limits: TransferLimits = LIMITS
) -> tuple[TransferReport | GpurentError, Path]:
    found = attempt_pull(tmp_path, helper, limits)
    check_contained(tmp_path, found)
    return found, get_target_folder(tmp_path)


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
@pytest.mark.parametrize("kind", [FILE, FOLDER])
def test_invalid_name_writes_nothing_outside(tmp_path: Path, name: bytes, kind: int) -> None:
    rows = [make_row(b"out", FOLDER), make_row(name, kind), make_row(b"out/zz good")]
    found, target = pull_and_check(tmp_path, MaliciousHelper(rows))
    if not isinstance(found, Exception):
        assert [item.name for item in found.skipped if "\x1b" in item.name] == []
        assert {path.name for path in target.rglob("*")} <= {"out", "zz good"}


BAD_LISTINGS: dict[str, list[Row]] = {
    "a link, then through it": [
        make_row(b"out", FOLDER),
        make_row(b"out/l", LINK, 0, b"/tmp"),
        make_row(b"out/l/evil"),
    ],
    "a link up, then through it": [
        make_row(b"out", FOLDER),
        make_row(b"out/l", LINK, 0, b"../.."),
        make_row(b"out/l/evil"),
    ],
    "a file, then below it": [make_row(b"out", FOLDER), make_row(b"out/f"), make_row(b"out/f/evil")],
    "the same name twice": [make_row(b"out", FOLDER), make_row(b"out/f"), make_row(b"out/f")],
    "a folder that is a file": [make_row(b"out", FOLDER), make_row(b"out/f"), make_row(b"out/f", FOLDER)],
    "out of order": [make_row(b"out", FOLDER), make_row(b"out/z"), make_row(b"out/a")],
    "the room for partials": [make_row(b"out", FOLDER), make_row(b"out/.gpurent-part", LINK, 0, b"/tmp")],
    "a device": [make_row(b"out", FOLDER), make_row(b"out/dev", OTHER)],
    "an unknown kind": [make_row(b"out", FOLDER), make_row(b"out/dev", 99)],
    "set-user-id": [make_row(b"out", FOLDER), make_row(b"out/su", mode=0o4777)],
    "unreadable": [make_row(b"out/", UNREADABLE)],
    "missing": [make_row(b"\x1b[31mout", MISSING)],
    "endless depth": [make_row(b"out" + b"/d" * depth, FOLDER) for depth in range(200)],
    "before all times": [(FILE, 0o644, 4, -(1 << 63), b"out", b"")],
    "after all times": [(FILE, 0o644, 4, (1 << 63) - 1, b"out", b"")],
    "an enormous size": [make_row(b"out", FOLDER), make_row(b"out/big", size=1 << 62)],
    "half a terabyte in all": [
        make_row(b"out", FOLDER),
        *(make_row(b"out/f%04d" % n, size=1 << 40) for n in range(40)),
    ],
}


@pytest.mark.parametrize("rows", BAD_LISTINGS.values(), ids=BAD_LISTINGS)
def test_invalid_listing_writes_nothing_outside(tmp_path: Path, rows: list[Row]) -> None:
    pull_and_check(tmp_path, MaliciousHelper(rows))


@pytest.mark.parametrize("target", HOSTILE_LINK_TARGETS.values(), ids=HOSTILE_LINK_TARGETS)
def test_invalid_link_is_skipped(tmp_path: Path, target: bytes) -> None:
    rows = [
        make_row(b"out", FOLDER), make_row(b"out/alone", LINK, 0, target), make_row(b"out/evil", LINK, 0, target), make_row(b"out/evil/below"), make_row(b"out/link", LINK, 0, target),
        make_row(b"out/link/deep", FOLDER), make_row(b"out/sub", FOLDER), make_row(b"out/sub/up", LINK, 0, b".."), make_row(b"out/zz", LINK, 0, b"evil"),
    ]  # fmt: skip
    found, home = pull_and_check(tmp_path, MaliciousHelper(rows))
    assert isinstance(found, TransferReport)
    assert [item.name for item in found.skipped] == ["out/alone", "out/evil", "out/link"]
    assert all(item.reason != FileProblem.IN_THE_WAY.text for item in found.skipped)
    assert (home / "out" / "evil" / "below").read_bytes() == EVIL
    assert (home / "out" / "sub" / "up").readlink() == Path("..")


def test_file_below_a_valid_link_is_not_written_through_it(tmp_path: Path) -> None:
    rows = [
        make_row(b"out", FOLDER), make_row(b"out/a", FOLDER), make_row(b"out/l", LINK, 0, b"a"), make_row(b"out/l/f"), make_row(b"out/m", LINK, 0, b"a"),
    ]  # fmt: skip
    found, home = pull_and_check(tmp_path, MaliciousHelper(rows))
    assert isinstance(found, TransferReport)
    assert [item.reason for item in found.skipped] == [FileProblem.IN_THE_WAY.text]
    assert list((home / "out" / "a").iterdir()) == []
    assert not (home / "out" / "l").is_symlink()
    # It is a local link now: what is listed below it the next time is refused.
    found, home = pull_and_check(
        tmp_path,
        MaliciousHelper([make_row(b"out", FOLDER), make_row(b"out/m", FOLDER), make_row(b"out/m/f")]),
    )
    assert isinstance(found, TransferError)
    assert list((home / "out" / "a").iterdir()) == []


def test_endless_links_use_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_policy, "MAX_LINK_BYTES", 5_000)
    rows = [
        make_row(b"out", FOLDER),
        *(make_row(b"out/%05d" % number, LINK, 0, b"x" * 100) for number in range(100)),
    ]
    found, home = pull_and_check(tmp_path, MaliciousHelper(rows))
    assert isinstance(found, TransferReport)
    made = sum(path.is_symlink() for path in (home / "out").iterdir())
    assert 20 < made < 100
    assert len(found.skipped) == 100 - made


@pytest.mark.parametrize(
    "data", [[(0, 1 << 63)], [(5, 5), (0, 5)], [(0, 0)], [(1 << 63, 1)], [(9, 1)] * 70_000]
)
def test_invalid_extents_are_refused(tmp_path: Path, data: list[tuple[int, int]]) -> None:
    body = b"".join(struct.pack(">QQ", *extent) for extent in data)
    rows = [make_row(b"out", FOLDER), make_row(b"out/a", size=3 << 20, link=b"sparse")]
    answer = override_answer(
        "H", lambda helper, header, asked: helper.far_frames.send_frame(ord("h"), header[:4], body)
    )
    found, target = pull_and_check(tmp_path, MaliciousHelper(rows, answer))
    assert isinstance(found, TransferError)
    assert not (target / "out" / "a").exists()


@pytest.mark.parametrize("kind", "mG")
def test_missing_answer_times_out(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_pool, "MAX_SILENCE", 0.5)
    found, _ = pull_and_check(
        tmp_path,
        MaliciousHelper(
            [make_row(b"out", FOLDER), make_row(b"out/a")], override_answer(kind, lambda *args: None)
        ),
    )
    assert isinstance(found, UnavailableError)
    assert found.retryable


def test_existing_local_links_are_not_followed(tmp_path: Path) -> None:
    target = get_target_folder(tmp_path)
    (target / "out").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (target / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    (target / "out" / "zf").symlink_to(tmp_path / "elsewhere" / "zf")
    (target / ".gpurent-part").symlink_to(tmp_path / "elsewhere")
    for rows in ([make_row(b"out/sub", FOLDER), make_row(b"out/sub/evil")], [make_row(b"out/zf")]):
        assert isinstance(
            attempt_pull(tmp_path, MaliciousHelper([make_row(b"out", FOLDER), *rows])), TransferError
        )
    assert list((tmp_path / "elsewhere").iterdir()) == []


def send_endless_listing(helper: MaliciousHelper, header: bytes, body: bytes) -> None:
    helper.far_frames.send_frame(
        ord("M"),
        struct.pack(">I", 0),
        zlib.compress(wire.encode_table([make_row(b"out/%09d" % os.getpid())] * 2000)),
    )


BAD_ANSWERS: dict[str, Callable[[MaliciousHelper, int, bytes, bytes], bool]] = {
    "more than was asked": override_answer("G", lambda helper, header, body: helper.send_unit(ord("P"), header, b"x" * 5_000_000)),
    "a bomb": override_answer("G", lambda helper, header, body: helper.send_unit(ord("P"), header, bytes(50_000_000), codec=ZLIB, size=40)),
    "a bomb that says so": override_answer("G", lambda helper, header, body: helper.send_unit(ord("P"), header, bytes(50_000_000), codec=ZLIB)),
    "a wrong digest": override_answer("G", lambda helper, header, body: helper.send_unit(ord("P"), header, wire.encode_table([make_row(b"")]) + EVIL, digest=b"x" * 16)),
    "an unknown codec": override_answer("G", lambda helper, header, body: helper.send_unit(ord("P"), header, b"", codec=77)),
    "another file count": override_answer("G", lambda helper, header, body: helper.send_unit(ord("P"), header, wire.encode_table([]))),
    "another number": override_answer("G", lambda helper, header, body: helper.send_unit(ord("P"), struct.pack(">I", 999), b"")),
    "a piece for a pack": override_answer("G", lambda helper, header, body: helper.send_unit(ord("S"), header, EVIL)),
    "a short pack": override_answer("G", lambda helper, header, body: helper.send_unit(ord("P"), header, wire.encode_table([(UNCHANGED, 0, 4, 0, b"", b"")]))),
    "another size": override_answer("G", lambda helper, header, body: helper.send_unit(ord("P"), header, wire.encode_table([(UNCHANGED, 0, 2, 0, b"", b"")]) + b"xx")),
    "always changed": override_answer("G", lambda helper, header, body: helper.send_unit(ord("P"), header, wire.encode_table([(CHANGED, 0, 4, 5, b"", b"")]))),
    "changed into a giant": override_answer("G", lambda helper, header, body: helper.send_unit(ord("P"), header, wire.encode_table([(CHANGED, 0, 1 << 60, 5, b"", b"")]))),
    "a broken table": override_answer("G", lambda helper, header, body: helper.send_unit(ord("P"), header, b"\xff" * 24)),
    "a frame of terabytes": override_answer("m", lambda helper, header, body: helper.far_frames.write(wire.FRAME_HEADER.pack(ord("M"), 4, 1 << 60))),
    "an unknown frame": override_answer("m", lambda helper, header, body: helper.far_frames.send_frame(ord("?"))),
    "a listing of another source": override_answer("m", lambda helper, header, body: helper.far_frames.send_frame(ord("M"), struct.pack(">I", 7), zlib.compress(wire.encode_table([])))),
    "a listing that is none": override_answer("m", lambda helper, header, body: helper.far_frames.send_frame(ord("M"), struct.pack(">I", 0), b"junk")),
    "a listing cut short": override_answer("m", lambda helper, header, body: helper.far_frames.send_frame(ord("M"), struct.pack(">I", 0), zlib.compress(b"\xff\xff\xff\xff"))),
    "a listing without end": override_answer("m", send_endless_listing),
    "holes of nothing": override_answer("m", lambda helper, header, body: helper.far_frames.send_frame(ord("h"), struct.pack(">I", 1), b"")),
    "digests of nothing": override_answer("m", lambda helper, header, body: helper.far_frames.send_frame(ord("b"), struct.pack(">IB", 1, 1), b"")),
    "a short head": override_answer("G", lambda helper, header, body: helper.far_frames.send_frame(ord("P"), b"x", b"y")),
    "the end of the line": override_answer("G", lambda helper, header, body: os.close(helper._fds.pop())),
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("give", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_invalid_answer_is_refused(
    tmp_path: Path, give: Callable[[MaliciousHelper, int, bytes, bytes], bool]
) -> None:
    rows = [make_row(b"out", FOLDER), make_row(b"out/a")]
    found, target = pull_and_check(
        tmp_path, MaliciousHelper(rows, give), limits=TransferLimits(max_files=100_000)
    )
    assert isinstance(found, TransferError | UnavailableError), found
    assert not (target / "out" / "a").exists()
