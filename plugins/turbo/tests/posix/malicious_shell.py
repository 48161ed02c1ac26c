"""A lying machine without Python: its answers to each script of a pull, and those of an honest one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

from gpurent.api import GpurentError, PullRequest, TransferLimits, UnavailableError
from gpurent.testing.contracts.hostile_names import check_contained, get_target_folder
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.local_files import open_target
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.posix.pull import PosixPuller
from gpurent_plugin_turbo.shared.wire import FrameStream

EVIL = b"evil"
LIMITS = TransferLimits()
DONE_ANSWER = b"\n@gpurent done\n"
TOOLS_ANSWER = (
    b"".join(b"\n@gpurent has %s\n" % tool for tool in (b"sha256sum", b"gzip", b"lists", b"gnu"))
    + DONE_ANSWER
)
FILE, FOLDER, LINK, DEVICE = 0o100644, 0o40755, 0o120777, 0o20666
Says = Callable[[bytes], Iterator[bytes]]


def make_state_line(name: bytes, mode: int = FILE, size: int = len(EVIL)) -> bytes:
    return b"//%x %d 1000000000 2001-09-09 01:46:40.0 +0000|./%s\n" % (mode, size, name)


def make_listing_answer(*rows: tuple[bytes, int, int]) -> bytes:
    return b"\n@gpurent list\n" + b"".join(make_state_line(*row) for row in rows) + b"//end\n" + DONE_ANSWER


def make_archive(*members: tuple[str, bytes, dict[str, object]]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data, more in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def make_checksum_line(name: bytes, data: bytes = EVIL) -> bytes:
    return hashlib.sha256(data).hexdigest().encode() + b"  ./" + name + b"\n"


def make_archive_answer(body: bytes, *names: bytes, marker: bytes = b"", now: bytes = b"") -> bytes:
    """Build an answer; ``now``: the files' state between the two reads, by default as listed."""
    states = b"\n@gpurent now\n" + (now or b"".join(map(make_state_line, names)))
    return (
        marker
        + b"\n"
        + b"".join(map(make_checksum_line, names))
        + states
        + b"\n@gpurent sums\n"
        + body
        + DONE_ANSWER
    )


class MaliciousShell(CommandConnection):
    """The remote side of one script. ``respond`` gets the script and returns the answer."""

    def __init__(self, respond: Says) -> None:
        up, down = os.pipe(), os.pipe()
        self.frames = FrameStream(down[0], up[1])
        self._far, self._near = [up[0], down[1]], [down[0], up[1]]
        self._thread = Thread(target=self._serve, args=(respond,), daemon=True)
        self._thread.start()

    def _serve(self, respond: Says) -> None:
        with contextlib.suppress(OSError):
            script = b""
            while b"\n" not in script:
                script += os.read(self._far[0], 1 << 16) or b"\n"
            os.close(self._far[0])  # stop reading, whatever else is sent
            for piece in respond(script):
                view = memoryview(piece)
                while view:
                    view = view[os.write(self._far[1], view) :]
        os.close(self._far[1])

    def abort(self) -> None:
        """Do nothing: reading ends by itself, and a liar that writes forever is stopped by `close`."""

    def close(self) -> None:
        for fd in self._near:
            os.close(fd)
        self._thread.join()

    def explain_end(self) -> GpurentError:
        return UnavailableError("cut", retryable=True)


def attempt_pull(
    tmp_path: Path,
    listing_answer: bytes,
    other_answer: bytes = b"",
    *,
    links: bytes = DONE_ANSWER,
    later: bytes = b"",
    limits: TransferLimits = LIMITS,
) -> object:
    """Pull ``out`` and return the report or the error.

    ``links``: the answer with link targets; ``later``: the answer with the state of files that changed.
    """

    def answer(script: bytes) -> Iterator[bytes]:
        if b"has tar" in script:
            yield TOOLS_ANSWER
        elif b"say list" in script and b"print_unreadable ./" in script.replace(b"\\0047", b""):
            yield listing_answer
        elif b"print_links ./" in script.replace(b"\\0047", b""):
            yield links
        elif later and b"[ ! -e" in script:
            yield later
        else:
            yield other_answer

    request = PullRequest(sources=("out",), target=get_target_folder(tmp_path), limits=limits)
    try:
        return PosixPuller(
            request, open_target(request), CountingProgress(), lambda first: MaliciousShell(answer)
        ).run()
    except GpurentError as error:
        return error


def pull_and_check(
    tmp_path: Path,
    listing_answer: bytes,
    other_answer: bytes = b"",
    *,
    links: bytes = DONE_ANSWER,
    later: bytes = b"",
    limits: TransferLimits = LIMITS,
) -> tuple[object, Path]:
    found = attempt_pull(tmp_path, listing_answer, other_answer, links=links, later=later, limits=limits)
    check_contained(tmp_path, found)
    return found, get_target_folder(tmp_path)
