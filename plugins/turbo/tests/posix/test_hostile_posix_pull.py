# ruff: noqa: E501 - one attack a line
"""A lying machine without Python: whatever it sends, nothing is written outside the target and nothing hangs."""

from __future__ import annotations

import gzip
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from gpurent.api import FileProblem, TransferError, TransferLimits, TransferReport, UnavailableError
from gpurent.testing.contracts.hostile_names import HOSTILE_LINK_TARGETS, get_target_folder
from gpurent_plugin_turbo.near.pull import name_policy
from plugins.turbo.tests.posix.malicious_shell import (
    DEVICE,
    DONE_ANSWER,
    EVIL,
    FILE,
    FOLDER,
    LINK,
    attempt_pull,
    make_archive,
    make_archive_answer,
    make_listing_answer,
    make_state_line,
    pull_and_check,
)

OUT_ROW = (b"out", FOLDER, 0)
BAD_NAMES = {
    "above": b"../evil", "deep above": b"out/../../evil", "absolute": b"/tmp/evil-of-gpurent", "dots": b"out/..", "empty part": b"out//evil",
    "not asked for": b"other/evil", "escape codes": b"out/\x1b[31mred", "right to left": "out/\u202egpj.exe".encode(),
    "invalid UTF-8": b"out/\xff\xfe", "new line": b"out/a\nb", "too long": b"out/" + b"x" * 300,
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
@pytest.mark.parametrize("kind", [FILE, FOLDER])
def test_invalid_name_writes_nothing_outside(tmp_path: Path, name: bytes, kind: int) -> None:
    good = b"out/zz"
    body = make_archive(("./" + os.fsdecode(name), EVIL, {}), ("./out/zz", EVIL, {}))
    _, target = pull_and_check(
        tmp_path,
        make_listing_answer(OUT_ROW, (name, kind, 4), (good, FILE, 4)),
        make_archive_answer(body, name, good),
    )
    assert {path.name for path in target.rglob("*")} <= {"out", "zz", ".gpurent-part"}


def test_honest_answers_are_downloaded(tmp_path: Path) -> None:
    for marker, compress in ((b"", bytes), (b"\n@gpurent gzip\n", gzip.compress)):
        body = compress(make_archive(("./out/a", EVIL, {"mode": 0o4777})))
        found, target = pull_and_check(
            tmp_path,
            make_listing_answer(OUT_ROW, (b"out/a", 0o104777, 4)),
            make_archive_answer(body, b"out/a", marker=marker),
        )
        assert not isinstance(found, Exception), found
        assert (target / "out" / "a").read_bytes() == EVIL
        assert (target / "out" / "a").stat().st_mode == 0o100777
        (target / "out" / "a").unlink()


def make_tar_header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


FILE_NAME = b"out/a"
GZIP_ANSWER = b"\n@gpurent gzip\n"
BAD_ARCHIVES: dict[str, Callable[[], bytes]] = {
    "what was not asked for": lambda: make_archive_answer(make_archive(("./out/b", EVIL, {})), FILE_NAME),
    "above": lambda: make_archive_answer(make_archive(("./../evil", EVIL, {})), FILE_NAME),
    "absolute": lambda: make_archive_answer(make_archive(("/tmp/evil-of-gpurent", EVIL, {})), FILE_NAME),
    "twice": lambda: make_archive_answer(make_archive(("./out/a", EVIL, {}), ("./out/a", EVIL, {})), FILE_NAME),
    "a link": lambda: make_archive_answer(make_archive(("./out/a", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})), FILE_NAME),
    "a link, then through it": lambda: make_archive_answer(make_archive(("./out", b"", {"type": tarfile.SYMTYPE, "linkname": "/tmp"}), ("./out/a", EVIL, {})), FILE_NAME),
    "a hard link outwards": lambda: make_archive_answer(make_archive(("./out/a", b"", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"})), FILE_NAME),
    "a device": lambda: make_archive_answer(make_archive(("./out/a", b"", {"type": tarfile.CHRTYPE})), FILE_NAME),
    "another content": lambda: make_archive_answer(make_archive(("./out/a", b"good", {})), FILE_NAME),
    "another size": lambda: make_archive_answer(make_archive(("./out/a", b"evil evil", {})), FILE_NAME),
    "no digest": lambda: make_archive_answer(make_archive(("./out/a", EVIL, {}))),
    "no file": lambda: make_archive_answer(make_archive(), FILE_NAME),
    "no archive": lambda: make_archive_answer(b"junk" * 4000, FILE_NAME),
    "nothing": lambda: make_archive_answer(b"", FILE_NAME),
    "not even that": lambda: b"",
    "an end in the middle": lambda: make_archive_answer(make_archive(("./out/a", EVIL, {}))[:600], FILE_NAME)[: -len(DONE_ANSWER)],
    "a name of gigabytes": lambda: make_archive_answer(make_tar_header("x", 1 << 33, tarfile.GNUTYPE_LONGNAME) + bytes(50_000_000), FILE_NAME),
    "a header of gigabytes": lambda: make_archive_answer(make_tar_header("x", 1 << 33, tarfile.XHDTYPE) + b"9" * 50_000_000, FILE_NAME),
    "a negative size": lambda: make_archive_answer(make_tar_header("./out/a", 4).replace(b"00000000004", b"-0000000004"), FILE_NAME),
    "a file of terabytes": lambda: make_archive_answer(make_tar_header("./out/a", 1 << 42) + bytes(50_000_000), FILE_NAME),
    "headers without end": lambda: make_archive_answer(make_tar_header("./out/b", 0) * 100_000, FILE_NAME),
    "a bomb": lambda: make_archive_answer(gzip.compress(make_tar_header("./out/a", 1 << 33) + bytes(300_000_000), 1), FILE_NAME, marker=GZIP_ANSWER),
    "a bomb of names": lambda: make_archive_answer(gzip.compress(make_tar_header("x", 1 << 33, tarfile.GNUTYPE_LONGNAME) + bytes(300_000_000), 1), FILE_NAME, marker=GZIP_ANSWER),
    "no gzip": lambda: make_archive_answer(b"junk" * 4000, FILE_NAME, marker=GZIP_ANSWER),
    "words without end": lambda: b"\n" + b"x" * 60_000_000,
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("body", BAD_ARCHIVES.values(), ids=BAD_ARCHIVES)
def test_invalid_archive_writes_nothing_wrong(tmp_path: Path, body: Callable[[], bytes]) -> None:
    answer = body()
    tracemalloc.start()
    try:
        found, target = pull_and_check(tmp_path, make_listing_answer(OUT_ROW, (FILE_NAME, FILE, 4)), answer)
        assert tracemalloc.get_traced_memory()[1] < 150_000_000
    finally:
        tracemalloc.stop()
    assert isinstance(found, TransferError | UnavailableError) or found.files == 1, found  # type: ignore[attr-defined]
    if isinstance(found, Exception):
        assert not (target / "out" / "a").exists() or (target / "out" / "a").read_bytes() == EVIL
    assert not (target / "out" / "a").is_symlink()
    assert not (target / "out" / "b").exists()


LARGE_FILE_SIZE = 2_000_000
BAD_LARGE_FILES: dict[str, Callable[[], bytes]] = {
    "another content": lambda: (
        b"\n@gpurent data\n" + b"e" * LARGE_FILE_SIZE + b"\n@gpurent sum 00\n" + DONE_ANSWER
    ),
    "too little": lambda: b"\n@gpurent data\n" + b"e" * 1000 + b"\n@gpurent sum 00\n" + DONE_ANSWER,
    "too much": lambda: b"\n@gpurent data\n" + b"e" * (LARGE_FILE_SIZE + 30_000_000) + DONE_ANSWER,
    "a bomb": lambda: (
        b"\n@gpurent gzip\n\n@gpurent data\n" + gzip.compress(bytes(100_000_000), 1) + DONE_ANSWER
    ),
    "no gzip": lambda: b"\n@gpurent gzip\n\n@gpurent data\n" + b"junk" * 1000 + DONE_ANSWER,
    "nothing": lambda: DONE_ANSWER,
    "the end": lambda: b"",
}


@pytest.mark.parametrize("body", BAD_LARGE_FILES.values(), ids=BAD_LARGE_FILES)
def test_invalid_large_file_is_refused(tmp_path: Path, body: Callable[[], bytes]) -> None:
    found, target = pull_and_check(
        tmp_path, make_listing_answer(OUT_ROW, (FILE_NAME, FILE, LARGE_FILE_SIZE)), body()
    )
    assert isinstance(found, TransferError | UnavailableError), found
    assert not (target / "out" / "a").exists()


BAD_LISTINGS = {
    "a size of exabytes": make_listing_answer(OUT_ROW, (FILE_NAME, FILE, 1 << 62)),
    "a size that is none": make_listing_answer(OUT_ROW, (FILE_NAME, FILE, 1 << 70)),
    "no numbers": b"\n@gpurent list\n//zz 1 2 x y|./out\n//end\n" + DONE_ANSWER,
    "no end": b"\n@gpurent list\n//81a4 1 2 x y|./out/a\n",
    "a name without end": b"\n@gpurent list\n//81a4 1 2 x y|./" + b"x" * 1_000_000,
    "endless depth": make_listing_answer(OUT_ROW, *((b"out" + b"/d" * depth, FOLDER, 0) for depth in range(200))),
    "names without end": make_listing_answer(OUT_ROW, *((b"out/%d" % number, FILE, 0) for number in range(30_000))),
    "half a terabyte in all": make_listing_answer(OUT_ROW, *((b"out/f%04d" % n, FILE, 1 << 40) for n in range(40))),
    "silence": b"",
    "an empty listing": make_listing_answer(),
}  # fmt: skip


@pytest.mark.parametrize("answer", BAD_LISTINGS.values(), ids=BAD_LISTINGS)
def test_invalid_listing_is_refused(tmp_path: Path, answer: bytes) -> None:
    found, target = pull_and_check(tmp_path, answer, limits=TransferLimits(max_files=20_000))
    assert isinstance(found, TransferError | UnavailableError), found
    assert not [path for path in target.rglob("*") if path.is_file()]


def test_special_files_and_names_below_files_are_not_downloaded(tmp_path: Path) -> None:
    rows = (OUT_ROW, (b"out/dev", DEVICE, 0), (b"out/f", FILE, 0), (b"out/f/evil", FILE, 0))
    found, target = pull_and_check(
        tmp_path,
        make_listing_answer(*rows),
        make_archive_answer(make_archive(("./out/f", b"", {})), FILE_NAME),
    )
    assert not (target / "out" / "dev").exists()
    assert isinstance(found, TransferError)


def make_links_answer(*targets: bytes) -> bytes:
    """Answer as an honest shell does: a target with a line break is reported as odd."""
    answer_lines = [
        b"odd %d" % at if b"\n" in to else b"link %d %s" % (at, to) for at, to in enumerate(targets)
    ]
    return b"".join(b"\n@gpurent %s\n" % word for word in answer_lines) + DONE_ANSWER


@pytest.mark.parametrize("to", HOSTILE_LINK_TARGETS.values(), ids=HOSTILE_LINK_TARGETS)
def test_invalid_link_is_skipped(tmp_path: Path, to: bytes) -> None:
    rows = [
        OUT_ROW, (b"out/alone", LINK, 0), (b"out/evil", LINK, 0), (b"out/evil/below", FILE, 4), (b"out/link", LINK, 0), (b"out/link/deep", FOLDER, 0),
        (b"out/sub", FOLDER, 0), (b"out/sub/up", LINK, 0), (b"out/zz", LINK, 0),
    ]  # fmt: skip
    below = b"out/evil/below"
    found, home = pull_and_check(
        tmp_path,
        make_listing_answer(*rows),
        make_archive_answer(make_archive(("./out/evil/below", EVIL, {})), below),
        links=make_links_answer(to, to, to, b"..", b"evil"),
    )
    assert isinstance(found, TransferReport), found
    assert [item.name for item in found.skipped] == ["out/alone", "out/evil", "out/link"]
    assert all(item.reason != FileProblem.IN_THE_WAY.text for item in found.skipped)
    assert (home / "out" / "evil" / "below").read_bytes() == EVIL
    assert (home / "out" / "sub" / "up").readlink() == Path("..")


def test_file_below_a_valid_link_is_not_written_through_it(tmp_path: Path) -> None:
    rows = [OUT_ROW, (b"out/a", FOLDER, 0), (b"out/l", LINK, 0), (b"out/l/f", FILE, 4), (b"out/m", LINK, 0)]
    body = make_archive_answer(make_archive(("./out/l/f", EVIL, {})), b"out/l/f")
    found, home = pull_and_check(
        tmp_path, make_listing_answer(*rows), body, links=make_links_answer(b"a", b"a")
    )
    assert isinstance(found, TransferReport), found
    assert [item.reason for item in found.skipped] == [FileProblem.IN_THE_WAY.text]
    assert list((home / "out" / "a").iterdir()) == []
    # It is a local link now: what is listed below it the next time is refused.
    rows = [OUT_ROW, (b"out/m", FOLDER, 0), (b"out/m/f", FILE, 4)]
    found, home = pull_and_check(
        tmp_path,
        make_listing_answer(*rows),
        make_archive_answer(make_archive(("./out/m/f", EVIL, {})), b"out/m/f"),
    )
    assert isinstance(found, TransferError)
    assert list((home / "out" / "a").iterdir()) == []


BAD_LINK_ANSWERS = {
    "nothing": DONE_ANSWER,
    "of none": b"\n@gpurent link 7 a\n\n@gpurent link -1 a\n\n@gpurent odd -2\n" + DONE_ANSWER,
    "no number": b"\n@gpurent link x a\n" + DONE_ANSWER,
    "no words": b"\n@gpurent link\n\n@gpurent link \n" + DONE_ANSWER,
    "two of one": make_links_answer(b"a").removesuffix(DONE_ANSWER) + make_links_answer(b"../../evil"),
    "a word in it": b"\n@gpurent link 0 a\n@gpurent link 0 /tmp\n" + DONE_ANSWER,
    "more than was asked for": make_links_answer(b"a/" * 3_000_000),
    "the end": b"",
}  # fmt: skip


@pytest.mark.parametrize("links", BAD_LINK_ANSWERS.values(), ids=BAD_LINK_ANSWERS)
def test_invalid_answer_about_links_is_refused(tmp_path: Path, links: bytes) -> None:
    found, home = pull_and_check(tmp_path, make_listing_answer(OUT_ROW, (b"out/l", LINK, 0)), links=links)
    assert isinstance(found, TransferError | UnavailableError) or len(found.skipped) == 1, found  # type: ignore[attr-defined]
    assert not (home / "out" / "l").is_symlink()


def test_endless_links_use_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_policy, "MAX_LINK_BYTES", 5_000)
    rows = [OUT_ROW, *((b"out/%05d" % number, LINK, 0) for number in range(100))]
    found, home = pull_and_check(
        tmp_path, make_listing_answer(*rows), links=make_links_answer(*[b"x" * 100] * 100)
    )
    assert isinstance(found, TransferReport), found
    made = sum(path.is_symlink() for path in (home / "out").iterdir())
    assert 20 < made < 100
    assert len(found.skipped) == 100 - made


def test_existing_local_links_are_not_followed(tmp_path: Path) -> None:
    target = get_target_folder(tmp_path)
    (target / "out").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (target / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    rows = (OUT_ROW, (b"out/sub", FOLDER, 0), (b"out/sub/a", FILE, 4))
    found = attempt_pull(
        tmp_path,
        make_listing_answer(*rows),
        make_archive_answer(make_archive(("./out/sub/a", EVIL, {})), b"out/sub/a"),
    )
    assert isinstance(found, TransferError)
    assert list((tmp_path / "elsewhere").iterdir()) == []


BAD_SECOND_STATES = {
    "a giant": (make_state_line(FILE_NAME, FILE, 1 << 60), "not enough disk space"),
    "a link": (make_state_line(FILE_NAME, LINK), "changed or vanished"),
    "a folder": (make_state_line(FILE_NAME, FOLDER), "changed or vanished"),
    "something else": (make_state_line(b"out/b") + make_state_line(b"/etc/passwd"), "changed or vanished"),
    "no number": (b"//zz zz|./out/a\n", "unexpected data"),
    "closed": (make_state_line(FILE_NAME) + b"//unreadable|./out/a\n", "cannot be read on the machine"),
    "a large one": (make_state_line(FILE_NAME, FILE, 2_000_000), "failed on the machine"),
}


@pytest.mark.parametrize(("later", "reason"), BAD_SECOND_STATES.values(), ids=BAD_SECOND_STATES)
def test_invalid_second_state_is_refused(tmp_path: Path, later: bytes, reason: str) -> None:
    body = make_archive_answer(
        make_archive(("./out/a", EVIL, {})), FILE_NAME, now=make_state_line(FILE_NAME, FILE, 5)
    )
    found, target = pull_and_check(
        tmp_path, make_listing_answer(OUT_ROW, (FILE_NAME, FILE, 4)), body, later=later + DONE_ANSWER
    )
    assert isinstance(found, TransferError)
    assert reason in found.message
    assert not (target / "out" / "a").exists()


def test_file_that_became_huge_is_not_waited_for(tmp_path: Path) -> None:
    body = make_archive_answer(b"x" * 40_000_000, FILE_NAME, now=make_state_line(FILE_NAME, FILE, 1 << 40))
    found, _ = pull_and_check(
        tmp_path, make_listing_answer(OUT_ROW, (FILE_NAME, FILE, 4)), body, later=DONE_ANSWER
    )
    assert isinstance(found, TransferError)
    assert "changed or vanished" in found.message
