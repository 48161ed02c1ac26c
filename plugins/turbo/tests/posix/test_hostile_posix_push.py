# ruff: noqa: E501 - one attack a line
"""A machine without Python that lies or stays silent while files are pushed to it or deleted on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpurent.api import GpurentError, PullRequest, PushRequest, UnavailableError
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.local_files import open_sources, open_target
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.posix.prune import PosixPruner
from gpurent_plugin_turbo.posix.pull import PosixPuller
from gpurent_plugin_turbo.posix.push import PosixPusher
from plugins.turbo.tests.posix.malicious_shell import DONE_ANSWER, TOOLS_ANSWER, MaliciousShell

BAD_ANSWERS = {
    "nothing": b"",
    "junk": b"junk" * 1000,
    "yes to all": DONE_ANSWER,
    "a bad listing": b"\n@gpurent list\n//zz|./x\n//end\n" + DONE_ANSWER,
    "bad numbers": b"\n@gpurent list\n//end\n\n@gpurent lost x y z\n\n@gpurent free -1x\n\n@gpurent part x y\n" + DONE_ANSWER,
    "what was not sent": b"\n@gpurent list\n//end\n\n@gpurent lost 99 99 \x1b[31m\n\n@gpurent lost -9 0 z\n\n@gpurent size -5\n" + DONE_ANSWER,
    "always bad": b"\n@gpurent list\n//end\n\n@gpurent bad\n" + DONE_ANSWER,
    "failed": b"\n@gpurent list\n//end\n\x1b[31mNo such luck\n@gpurent failed\n" + DONE_ANSWER,
    "words without end": b"\n" + b"x" * 10_000_000,
}  # fmt: skip


@pytest.mark.parametrize("says", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
@pytest.mark.parametrize("label", ["push", "prune"])
def test_invalid_answer_is_no_crash(tmp_path: Path, label: str, says: bytes) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "small").write_text("small")
    (source / "large").write_bytes(os.urandom(1_500_000))
    (source / "link").symlink_to("small")

    def answer(script: bytes) -> Iterator[bytes]:
        yield TOOLS_ANSWER if b"has tar" in script else says

    def open_shell(first: bool) -> MaliciousShell:
        return MaliciousShell(answer)

    request = PushRequest(sources=(source,), target="work", contents_only=True)
    work = (
        PosixPusher(request, open_sources(request), CountingProgress(), open_shell)
        if label == "push"
        else PosixPruner(request, open_sources(request), open_shell)
    )
    found: list[GpurentError] = []
    try:
        work.run()
    except GpurentError as error:
        found.append(error)
    assert not [error for error in found if "\x1b" in str(error)]


def test_silent_shell_is_a_lost_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Event

    monkeypatch.setattr(CommandConnection, "handshake_timeout", 0.2)
    ended = Event()

    class SilentShell(MaliciousShell):
        def abort(self) -> None:
            ended.set()

    def silent(script: bytes) -> Iterator[bytes]:
        ended.wait()
        yield b""

    request = PullRequest(sources=("out",), target=tmp_path / "home")
    with pytest.raises(UnavailableError):
        PosixPuller(
            request, open_target(request), CountingProgress(), lambda first: SilentShell(silent)
        ).run()
    assert ended.is_set()
