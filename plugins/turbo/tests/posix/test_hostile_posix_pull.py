# ruff: noqa: E501 - one attack a line
"""A machine without Python that lies: whatever it says, nothing is written outside the target and nothing hangs."""

from __future__ import annotations

import gzip
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from gpurent.api import Limits, TransferError, TransferReport, UnavailableError
from gpurent.testing.contracts.hostile import TARGETS, jail
from gpurent_plugin_turbo.near.pull import name_policy
from plugins.turbo.tests.posix.lying_shell import (
    DEVICE,
    DONE,
    EVIL,
    FILE,
    FOLDER,
    LINK,
    archive_answer,
    attempt_pull,
    listing_answer,
    make_archive,
    pull,
    state_line,
)

OUT = (b"out", FOLDER, 0)
NAMES = {
    "above": b"../evil", "deep above": b"out/../../evil", "absolute": b"/tmp/evil-of-gpurent", "dots": b"out/..", "empty part": b"out//evil",
    "not asked for": b"other/evil", "escape codes": b"out/\x1b[31mred", "right to left": "out/\u202egpj.exe".encode(),
    "invalid UTF-8": b"out/\xff\xfe", "new line": b"out/a\nb", "too long": b"out/" + b"x" * 300,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("kind", [FILE, FOLDER])
def test_a_name_that_may_not_be(tmp_path: Path, name: bytes, kind: int) -> None:
    good = b"out/zz"
    body = make_archive(("./" + os.fsdecode(name), EVIL, {}), ("./out/zz", EVIL, {}))
    _, target = pull(
        tmp_path, listing_answer(OUT, (name, kind, 4), (good, FILE, 4)), archive_answer(body, name, good)
    )
    assert {path.name for path in target.rglob("*")} <= {"out", "zz", ".gpurent-part"}


def test_what_is_honest_comes_home(tmp_path: Path) -> None:
    for how, press in ((b"", bytes), (b"\n@gpurent gzip\n", gzip.compress)):
        body = press(make_archive(("./out/a", EVIL, {"mode": 0o4777})))
        found, target = pull(
            tmp_path, listing_answer(OUT, (b"out/a", 0o104777, 4)), archive_answer(body, b"out/a", how=how)
        )
        assert not isinstance(found, Exception), found
        assert (target / "out" / "a").read_bytes() == EVIL
        assert (target / "out" / "a").stat().st_mode == 0o100777
        (target / "out" / "a").unlink()


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


ONE = b"out/a"
GZIP = b"\n@gpurent gzip\n"
BODIES: dict[str, Callable[[], bytes]] = {
    "what was not asked for": lambda: archive_answer(make_archive(("./out/b", EVIL, {})), ONE),
    "above": lambda: archive_answer(make_archive(("./../evil", EVIL, {})), ONE),
    "absolute": lambda: archive_answer(make_archive(("/tmp/evil-of-gpurent", EVIL, {})), ONE),
    "twice": lambda: archive_answer(make_archive(("./out/a", EVIL, {}), ("./out/a", EVIL, {})), ONE),
    "a link": lambda: archive_answer(make_archive(("./out/a", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})), ONE),
    "a link, then through it": lambda: archive_answer(make_archive(("./out", b"", {"type": tarfile.SYMTYPE, "linkname": "/tmp"}), ("./out/a", EVIL, {})), ONE),
    "a hard link outwards": lambda: archive_answer(make_archive(("./out/a", b"", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"})), ONE),
    "a device": lambda: archive_answer(make_archive(("./out/a", b"", {"type": tarfile.CHRTYPE})), ONE),
    "another content": lambda: archive_answer(make_archive(("./out/a", b"good", {})), ONE),
    "another size": lambda: archive_answer(make_archive(("./out/a", b"evil evil", {})), ONE),
    "no digest": lambda: archive_answer(make_archive(("./out/a", EVIL, {}))),
    "no file": lambda: archive_answer(make_archive(), ONE),
    "no archive": lambda: archive_answer(b"junk" * 4000, ONE),
    "nothing": lambda: archive_answer(b"", ONE),
    "not even that": lambda: b"",
    "an end in the middle": lambda: archive_answer(make_archive(("./out/a", EVIL, {}))[:600], ONE)[: -len(DONE)],
    "a name of gigabytes": lambda: archive_answer(header("x", 1 << 33, tarfile.GNUTYPE_LONGNAME) + bytes(50_000_000), ONE),
    "a header of gigabytes": lambda: archive_answer(header("x", 1 << 33, tarfile.XHDTYPE) + b"9" * 50_000_000, ONE),
    "a negative size": lambda: archive_answer(header("./out/a", 4).replace(b"00000000004", b"-0000000004"), ONE),
    "a file of terabytes": lambda: archive_answer(header("./out/a", 1 << 42) + bytes(50_000_000), ONE),
    "headers without end": lambda: archive_answer(header("./out/b", 0) * 100_000, ONE),
    "a bomb": lambda: archive_answer(gzip.compress(header("./out/a", 1 << 33) + bytes(300_000_000), 1), ONE, how=GZIP),
    "a bomb of names": lambda: archive_answer(gzip.compress(header("x", 1 << 33, tarfile.GNUTYPE_LONGNAME) + bytes(300_000_000), 1), ONE, how=GZIP),
    "no gzip": lambda: archive_answer(b"junk" * 4000, ONE, how=GZIP),
    "words without end": lambda: b"\n" + b"x" * 60_000_000,
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_an_archive_that_may_not_be(tmp_path: Path, body: Callable[[], bytes]) -> None:
    answer = body()
    tracemalloc.start()
    try:
        found, target = pull(tmp_path, listing_answer(OUT, (ONE, FILE, 4)), answer)
        assert tracemalloc.get_traced_memory()[1] < 150_000_000
    finally:
        tracemalloc.stop()
    assert isinstance(found, TransferError | UnavailableError) or found.files == 1, found  # type: ignore[attr-defined]
    if isinstance(found, Exception):
        assert not (target / "out" / "a").exists() or (target / "out" / "a").read_bytes() == EVIL
    assert not (target / "out" / "a").is_symlink()
    assert not (target / "out" / "b").exists()


BIG = 2_000_000
LARGE: dict[str, Callable[[], bytes]] = {
    "another content": lambda: b"\n@gpurent data\n" + b"e" * BIG + b"\n@gpurent sum 00\n" + DONE,
    "too little": lambda: b"\n@gpurent data\n" + b"e" * 1000 + b"\n@gpurent sum 00\n" + DONE,
    "too much": lambda: b"\n@gpurent data\n" + b"e" * (BIG + 30_000_000) + DONE,
    "a bomb": lambda: b"\n@gpurent gzip\n\n@gpurent data\n" + gzip.compress(bytes(100_000_000), 1) + DONE,
    "no gzip": lambda: b"\n@gpurent gzip\n\n@gpurent data\n" + b"junk" * 1000 + DONE,
    "nothing": lambda: DONE,
    "the end": lambda: b"",
}


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE)
def test_a_large_file_that_may_not_be(tmp_path: Path, body: Callable[[], bytes]) -> None:
    found, target = pull(tmp_path, listing_answer(OUT, (ONE, FILE, BIG)), body())
    assert isinstance(found, TransferError | UnavailableError), found
    assert not (target / "out" / "a").exists()


LISTS = {
    "a size of exabytes": listing_answer(OUT, (ONE, FILE, 1 << 62)),
    "a size that is none": listing_answer(OUT, (ONE, FILE, 1 << 70)),
    "no numbers": b"\n@gpurent list\n//zz 1 2 x y|./out\n//end\n" + DONE,
    "no end": b"\n@gpurent list\n//81a4 1 2 x y|./out/a\n",
    "a name without end": b"\n@gpurent list\n//81a4 1 2 x y|./" + b"x" * 1_000_000,
    "endless depth": listing_answer(OUT, *((b"out" + b"/d" * depth, FOLDER, 0) for depth in range(200))),
    "names without end": listing_answer(OUT, *((b"out/%d" % number, FILE, 0) for number in range(30_000))),
    "half a terabyte in all": listing_answer(OUT, *((b"out/f%04d" % n, FILE, 1 << 40) for n in range(40))),
    "silence": b"",
    "an empty listing": listing_answer(),
}  # fmt: skip


@pytest.mark.parametrize("says", LISTS.values(), ids=LISTS)
def test_a_listing_that_may_not_be(tmp_path: Path, says: bytes) -> None:
    found, target = pull(tmp_path, says, limits=Limits(files=20_000))
    assert isinstance(found, TransferError | UnavailableError), found
    assert not [path for path in target.rglob("*") if path.is_file()]


def test_special_files_do_not_come_and_nothing_comes_below_a_file(tmp_path: Path) -> None:
    rows = (OUT, (b"out/dev", DEVICE, 0), (b"out/f", FILE, 0), (b"out/f/evil", FILE, 0))
    found, target = pull(
        tmp_path, listing_answer(*rows), archive_answer(make_archive(("./out/f", b"", {})), ONE)
    )
    assert not (target / "out" / "dev").exists()
    assert isinstance(found, TransferError)


def leads(*targets: bytes) -> bytes:
    """As an honest shell says it: a target with a line break is odd."""
    said = [b"odd %d" % at if b"\n" in to else b"link %d %s" % (at, to) for at, to in enumerate(targets)]
    return b"".join(b"\n@gpurent %s\n" % word for word in said) + DONE


@pytest.mark.parametrize("to", TARGETS.values(), ids=TARGETS)
def test_a_link_that_may_not_be(tmp_path: Path, to: bytes) -> None:
    rows = [
        OUT, (b"out/alone", LINK, 0), (b"out/evil", LINK, 0), (b"out/evil/below", FILE, 4), (b"out/link", LINK, 0), (b"out/link/deep", FOLDER, 0),
        (b"out/sub", FOLDER, 0), (b"out/sub/up", LINK, 0), (b"out/zz", LINK, 0),
    ]  # fmt: skip
    below = b"out/evil/below"
    found, home = pull(
        tmp_path,
        listing_answer(*rows),
        archive_answer(make_archive(("./out/evil/below", EVIL, {})), below),
        links=leads(to, to, to, b"..", b"evil"),
    )
    assert isinstance(found, TransferReport), found
    assert [item.name for item in found.skipped] == ["out/alone", "out/evil", "out/link"]
    assert all("folder" not in item.why for item in found.skipped)
    assert (home / "out" / "evil" / "below").read_bytes() == EVIL
    assert (home / "out" / "sub" / "up").readlink() == Path("..")


def test_a_file_below_a_good_link_goes_not_through_it(tmp_path: Path) -> None:
    rows = [OUT, (b"out/a", FOLDER, 0), (b"out/l", LINK, 0), (b"out/l/f", FILE, 4), (b"out/m", LINK, 0)]
    body = archive_answer(make_archive(("./out/l/f", EVIL, {})), b"out/l/f")
    found, home = pull(tmp_path, listing_answer(*rows), body, links=leads(b"a", b"a"))
    assert isinstance(found, TransferReport), found
    assert [item.why for item in found.skipped] == ["is a link, and a folder has its name here"]
    assert list((home / "out" / "a").iterdir()) == []
    # It is a link here now: what is listed below it the next time is refused.
    rows = [OUT, (b"out/m", FOLDER, 0), (b"out/m/f", FILE, 4)]
    found, home = pull(
        tmp_path, listing_answer(*rows), archive_answer(make_archive(("./out/m/f", EVIL, {})), b"out/m/f")
    )
    assert isinstance(found, TransferError)
    assert list((home / "out" / "a").iterdir()) == []


UNTRUE = {
    "nothing": DONE,
    "of none": b"\n@gpurent link 7 a\n\n@gpurent link -1 a\n\n@gpurent odd -2\n" + DONE,
    "no number": b"\n@gpurent link x a\n" + DONE,
    "no words": b"\n@gpurent link\n\n@gpurent link \n" + DONE,
    "two of one": leads(b"a").removesuffix(DONE) + leads(b"../../evil"),
    "a word in it": b"\n@gpurent link 0 a\n@gpurent link 0 /tmp\n" + DONE,
    "more than was asked for": leads(b"a/" * 3_000_000),
    "the end": b"",
}  # fmt: skip


@pytest.mark.parametrize("links", UNTRUE.values(), ids=UNTRUE)
def test_an_answer_about_links_that_may_not_be(tmp_path: Path, links: bytes) -> None:
    found, home = pull(tmp_path, listing_answer(OUT, (b"out/l", LINK, 0)), links=links)
    assert isinstance(found, TransferError | UnavailableError) or len(found.skipped) == 1, found  # type: ignore[attr-defined]
    assert not (home / "out" / "l").is_symlink()


def test_links_without_end_are_not_kept_in_mind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_policy, "MAX_LINK_BYTES", 5_000)
    rows = [OUT, *((b"out/%05d" % number, LINK, 0) for number in range(100))]
    found, home = pull(tmp_path, listing_answer(*rows), links=leads(*[b"x" * 100] * 100))
    assert isinstance(found, TransferReport), found
    made = sum(path.is_symlink() for path in (home / "out").iterdir())
    assert 20 < made < 100
    assert len(found.skipped) == 100 - made


def test_links_that_lie_here_already_are_not_followed(tmp_path: Path) -> None:
    target = jail(tmp_path)
    (target / "out").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (target / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    rows = (OUT, (b"out/sub", FOLDER, 0), (b"out/sub/a", FILE, 4))
    found = attempt_pull(
        tmp_path, listing_answer(*rows), archive_answer(make_archive(("./out/sub/a", EVIL, {})), b"out/sub/a")
    )
    assert isinstance(found, TransferError)
    assert list((tmp_path / "elsewhere").iterdir()) == []


LATER = {
    "a giant": (state_line(ONE, FILE, 1 << 60), "more than"),
    "a link": (state_line(ONE, LINK), "changed or vanished"),
    "a folder": (state_line(ONE, FOLDER), "changed or vanished"),
    "something else": (state_line(b"out/b") + state_line(b"/etc/passwd"), "changed or vanished"),
    "no number": (b"//zz zz|./out/a\n", "may not say"),
    "closed": (state_line(ONE) + b"//unreadable|./out/a\n", "cannot be read there"),
    "a large one": (state_line(ONE, FILE, 2_000_000), "failed on the machine"),
}


@pytest.mark.parametrize(("later", "why"), LATER.values(), ids=LATER)
def test_a_second_look_that_may_not_be(tmp_path: Path, later: bytes, why: str) -> None:
    body = archive_answer(make_archive(("./out/a", EVIL, {})), ONE, now=state_line(ONE, FILE, 5))
    found, target = pull(tmp_path, listing_answer(OUT, (ONE, FILE, 4)), body, later=later + DONE)
    assert isinstance(found, TransferError)
    assert why in found.message
    assert not (target / "out" / "a").exists()


def test_a_file_that_is_giant_by_now_is_not_waited_for(tmp_path: Path) -> None:
    body = archive_answer(b"x" * 40_000_000, ONE, now=state_line(ONE, FILE, 1 << 40))
    found, _ = pull(tmp_path, listing_answer(OUT, (ONE, FILE, 4)), body, later=DONE)
    assert isinstance(found, TransferError)
    assert "changed or vanished" in found.message
