# ruff: noqa: E501 - one attack a line
"""A machine without Python that lies: whatever it says, nothing is written outside the target and nothing hangs."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from gpurent.api import GpurentError, Limits, Pull, Push, TransferError, UnavailableError
from gpurent.testing.contracts.site import Tally
from gpurent_plugin_turbo import fleet
from gpurent_plugin_turbo.lines import Wire
from gpurent_plugin_turbo.plainly import Plainly
from gpurent_plugin_turbo.wire import Line

EVIL = b"evil"
LIMITS = Limits()
DONE = b"\n@gpurent done\n"
HAS = b"".join(b"\n@gpurent has %s\n" % tool for tool in (b"sha256sum", b"gzip", b"lists", b"gnu")) + DONE
FILE, FOLDER, LINK, DEVICE = 0o100644, 0o40755, 0o120777, 0o20666
Says = Callable[[bytes], Iterator[bytes]]


def listing(*rows: tuple[bytes, int, int]) -> bytes:
    lines = [
        b"//%x %d 1000000000 2001-09-09 01:46:40.0 +0000|./%s\n" % (mode, size, name)
        for name, mode, size in rows
    ]
    return b"\n@gpurent list\n" + b"".join(lines) + b"//end\n" + DONE


def archive(*members: tuple[str, bytes, dict[str, object]]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data, more in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def summed(name: bytes, data: bytes = EVIL) -> bytes:
    return hashlib.sha256(data).hexdigest().encode() + b"  ./" + name + b"\n"


def tarred(body: bytes, *names: bytes, how: bytes = b"") -> bytes:
    return how + b"\n" + b"".join(map(summed, names)) + b"\n@gpurent sums\n" + body + DONE


class Liar(Wire):
    """The far side of one script. ``says`` gets the script and gives what comes back."""

    def __init__(self, says: Says) -> None:
        up, down = os.pipe(), os.pipe()
        self.line = Line(down[0], up[1])
        self._far, self._near = [up[0], down[1]], [down[0], up[1]]
        self._thread = Thread(target=self._serve, args=(says,), daemon=True)
        self._thread.start()

    def _serve(self, says: Says) -> None:
        with contextlib.suppress(OSError):
            script = b""
            while b"\n" not in script:
                script += os.read(self._far[0], 1 << 16) or b"\n"
            os.close(self._far[0])  # it takes no more, whatever else is sent
            for piece in says(script):
                view = memoryview(piece)
                while view:
                    view = view[os.write(self._far[1], view) :]
        os.close(self._far[1])

    def end(self) -> None:
        """Reading ends by itself; a liar that writes for ever is stopped by `close`."""

    def close(self) -> None:
        for fd in self._near:
            os.close(fd)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def why(self) -> GpurentError:
        return UnavailableError("cut", retryable=True)


def pull(
    tmp_path: Path, list_says: bytes, says: bytes = b"", *, limits: Limits = LIMITS
) -> tuple[object, Path]:
    def answer(script: bytes) -> Iterator[bytes]:
        if b"has tar" in script:
            yield HAS
        elif b"say list" in script and b"shut ./" in script.replace(b"\\0047", b""):
            yield list_says
        else:
            yield says

    target = tmp_path / "jail" / "home"
    cargo = Pull(sources=("out",), target=target, limits=limits)
    try:
        return Plainly(lambda: Liar(answer)).puller(cargo, Tally()).run(), target
    except GpurentError as error:
        return error, target


def outside(tmp_path: Path) -> set[str]:
    return {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if "home" not in path.parts} - {
        "jail"
    }


OUT = (b"out", FOLDER, 0)
NAMES = {
    "above": b"../evil", "deep above": b"out/../../evil", "absolute": b"/tmp/evil", "dots": b"out/..", "empty part": b"out//evil",
    "not asked for": b"other/evil", "escape codes": b"out/\x1b[31mred", "right to left": "out/\u202egpj.exe".encode(),
    "invalid UTF-8": b"out/\xff\xfe", "new line": b"out/a\nb", "too long": b"out/" + b"x" * 300,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("kind", [FILE, FOLDER])
def test_a_name_that_may_not_be(tmp_path: Path, name: bytes, kind: int) -> None:
    good = b"out/zz"
    body = archive(("./" + os.fsdecode(name), EVIL, {}), ("./out/zz", EVIL, {}))
    found, target = pull(tmp_path, listing(OUT, (name, kind, 4), (good, FILE, 4)), tarred(body, name, good))
    assert not outside(tmp_path)
    assert not Path("/tmp/evil").exists()
    assert "\x1b" not in str(found)
    assert {path.name for path in target.rglob("*")} <= {"out", "zz", ".gpurent-part"}


def test_what_is_honest_comes_home(tmp_path: Path) -> None:
    for how, press in ((b"", bytes), (b"\n@gpurent gzip\n", gzip.compress)):
        body = press(archive(("./out/a", EVIL, {"mode": 0o4777})))
        found, target = pull(tmp_path, listing(OUT, (b"out/a", 0o104777, 4)), tarred(body, b"out/a", how=how))
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
BODIES = {
    "what was not asked for": tarred(archive(("./out/b", EVIL, {})), ONE),
    "above": tarred(archive(("./../evil", EVIL, {})), ONE),
    "absolute": tarred(archive(("/tmp/evil", EVIL, {})), ONE),
    "twice": tarred(archive(("./out/a", EVIL, {}), ("./out/a", EVIL, {})), ONE),
    "a link": tarred(archive(("./out/a", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})), ONE),
    "a link, then through it": tarred(archive(("./out", b"", {"type": tarfile.SYMTYPE, "linkname": "/tmp"}), ("./out/a", EVIL, {})), ONE),
    "a hard link outwards": tarred(archive(("./out/a", b"", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"})), ONE),
    "a device": tarred(archive(("./out/a", b"", {"type": tarfile.CHRTYPE})), ONE),
    "another content": tarred(archive(("./out/a", b"good", {})), ONE),
    "another size": tarred(archive(("./out/a", b"evil evil", {})), ONE),
    "no digest": tarred(archive(("./out/a", EVIL, {}))),
    "no file": tarred(archive(), ONE),
    "no archive": tarred(b"junk" * 4000, ONE),
    "nothing": tarred(b"", ONE),
    "not even that": b"",
    "an end in the middle": tarred(archive(("./out/a", EVIL, {}))[:600], ONE)[: -len(DONE)],
    "a name of gigabytes": tarred(header("x", 1 << 33, tarfile.GNUTYPE_LONGNAME) + bytes(50_000_000), ONE),
    "a header of gigabytes": tarred(header("x", 1 << 33, tarfile.XHDTYPE) + b"9" * 50_000_000, ONE),
    "a negative size": tarred(header("./out/a", 4).replace(b"00000000004", b"-0000000004"), ONE),
    "a file of terabytes": tarred(header("./out/a", 1 << 42) + bytes(50_000_000), ONE),
    "headers without end": tarred(header("./out/b", 0) * 100_000, ONE),
    "a bomb": tarred(gzip.compress(header("./out/a", 1 << 33) + bytes(300_000_000), 1), ONE, how=GZIP),
    "a bomb of names": tarred(gzip.compress(header("x", 1 << 33, tarfile.GNUTYPE_LONGNAME) + bytes(300_000_000), 1), ONE, how=GZIP),
    "no gzip": tarred(b"junk" * 4000, ONE, how=GZIP),
    "words without end": b"\n" + b"x" * 60_000_000,
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_an_archive_that_may_not_be(tmp_path: Path, body: bytes) -> None:
    tracemalloc.start()
    try:
        found, target = pull(tmp_path, listing(OUT, (ONE, FILE, 4)), body)
        assert tracemalloc.get_traced_memory()[1] < 150_000_000
    finally:
        tracemalloc.stop()
    assert isinstance(found, TransferError | UnavailableError) or found.files == 1, found  # type: ignore[attr-defined]
    assert not outside(tmp_path)
    assert not Path("/tmp/evil").exists()
    if isinstance(found, Exception):
        assert not (target / "out" / "a").exists() or (target / "out" / "a").read_bytes() == EVIL
    assert not (target / "out" / "a").is_symlink()
    assert not (target / "out" / "b").exists()


BIG = 2_000_000
LARGE = {
    "another content": b"\n@gpurent data\n" + b"e" * BIG + b"\n@gpurent sum 00\n" + DONE,
    "too little": b"\n@gpurent data\n" + b"e" * 1000 + b"\n@gpurent sum 00\n" + DONE,
    "too much": b"\n@gpurent data\n" + b"e" * (BIG + 30_000_000) + DONE,
    "a bomb": b"\n@gpurent gzip\n\n@gpurent data\n" + gzip.compress(bytes(100_000_000), 1) + DONE,
    "no gzip": b"\n@gpurent gzip\n\n@gpurent data\n" + b"junk" * 1000 + DONE,
    "nothing": DONE,
    "the end": b"",
}


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE)
def test_a_large_file_that_may_not_be(tmp_path: Path, body: bytes) -> None:
    found, target = pull(tmp_path, listing(OUT, (ONE, FILE, BIG)), body)
    assert isinstance(found, TransferError | UnavailableError), found
    assert not outside(tmp_path)
    assert not (target / "out" / "a").exists()


LISTS = {
    "a size of exabytes": listing(OUT, (ONE, FILE, 1 << 62)),
    "a size that is none": listing(OUT, (ONE, FILE, 1 << 70)),
    "no numbers": b"\n@gpurent list\n//zz 1 2 x y|./out\n//end\n" + DONE,
    "no end": b"\n@gpurent list\n//81a4 1 2 x y|./out/a\n",
    "a name without end": b"\n@gpurent list\n//81a4 1 2 x y|./" + b"x" * 1_000_000,
    "endless depth": listing(OUT, *((b"out" + b"/d" * depth, FOLDER, 0) for depth in range(200))),
    "names without end": listing(OUT, *((b"out/%d" % number, FILE, 0) for number in range(30_000))),
    "half a terabyte in all": listing(OUT, *((b"out/f%04d" % n, FILE, 1 << 40) for n in range(40))),
    "silence": b"",
    "an empty listing": listing(),
}  # fmt: skip


@pytest.mark.parametrize("says", LISTS.values(), ids=LISTS)
def test_a_listing_that_may_not_be(tmp_path: Path, says: bytes) -> None:
    found, target = pull(tmp_path, says, limits=Limits(files=20_000))
    assert isinstance(found, TransferError | UnavailableError), found
    assert not outside(tmp_path)
    assert not [path for path in target.rglob("*") if path.is_file()]


def test_links_and_special_files_do_not_come(tmp_path: Path) -> None:
    rows = (
        OUT,
        (b"out/dev", DEVICE, 0),
        (b"out/l", LINK, 9),
        (b"out/l/evil", FILE, 0),
        (b"out/f", FILE, 0),
        (b"out/f/evil", FILE, 0),
    )
    found, target = pull(
        tmp_path, listing(*rows), tarred(archive(("./out/l/evil", b"", {}), ("./out/f", b"", {})))
    )
    assert not outside(tmp_path)
    assert not [path for path in target.rglob("*") if path.is_symlink() or path.name == "dev"]
    assert isinstance(found, TransferError)


def test_links_that_lie_here_already_are_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "jail" / "home"
    (target / "out").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (target / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    rows = (OUT, (b"out/sub", FOLDER, 0), (b"out/sub/a", FILE, 4))
    found, _ = pull(tmp_path, listing(*rows), tarred(archive(("./out/sub/a", EVIL, {})), b"out/sub/a"))
    assert isinstance(found, TransferError)
    assert list((tmp_path / "elsewhere").iterdir()) == []


ANSWERS = {
    "nothing": b"",
    "junk": b"junk" * 1000,
    "yes to all": DONE,
    "a bad listing": b"\n@gpurent list\n//zz|./x\n//end\n" + DONE,
    "bad numbers": b"\n@gpurent list\n//end\n\n@gpurent lost x y z\n\n@gpurent free -1x\n\n@gpurent part x y\n" + DONE,
    "what was not sent": b"\n@gpurent list\n//end\n\n@gpurent lost 99 99 \x1b[31m\n\n@gpurent lost -9 0 z\n\n@gpurent size -5\n" + DONE,
    "always bad": b"\n@gpurent list\n//end\n\n@gpurent bad\n" + DONE,
    "failed": b"\n@gpurent list\n//end\n\x1b[31mNo such luck\n@gpurent failed\n" + DONE,
    "words without end": b"\n" + b"x" * 10_000_000,
}  # fmt: skip


@pytest.mark.parametrize("says", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("what", ["push", "weed"])
def test_an_answer_that_may_not_be(tmp_path: Path, what: str, says: bytes) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "small").write_text("small")
    (source / "large").write_bytes(os.urandom(1_500_000))
    (source / "link").symlink_to("small")

    def answer(script: bytes) -> Iterator[bytes]:
        yield HAS if b"has tar" in script else says

    far = Plainly(lambda: Liar(answer))
    cargo = Push(sources=(source,), target="work", content=True)
    work = far.pusher(cargo, Tally()) if what == "push" else far.weeder(cargo)
    found: list[GpurentError] = []
    try:
        work.run()
    except GpurentError as error:
        found.append(error)
    assert not [error for error in found if "\x1b" in str(error)]


def test_a_shell_that_never_says_a_word_is_a_lost_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threading import Event

    monkeypatch.setattr(fleet, "GREETING", 0.2)
    ended = Event()

    class Mute(Liar):
        def end(self) -> None:
            ended.set()

    def silent(script: bytes) -> Iterator[bytes]:
        ended.wait(20)
        yield b""

    cargo = Pull(sources=("out",), target=tmp_path / "home")
    with pytest.raises(UnavailableError):
        Plainly(lambda: Mute(silent)).puller(cargo, Tally()).run()
    assert ended.is_set()
