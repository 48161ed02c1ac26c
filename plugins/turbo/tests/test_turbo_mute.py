"""A far side that takes the line and never says a word."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpurent.api import Push, UnavailableError
from gpurent.testing.contracts.site import Tally
from gpurent_plugin_turbo.near.connection import stream_pool
from gpurent_plugin_turbo.near.connection.ssh_process import Wire
from gpurent_plugin_turbo.near.prune import Weeder
from gpurent_plugin_turbo.near.push.pusher import Pusher
from gpurent_plugin_turbo.near.push.scan import Scan
from gpurent_plugin_turbo.shared.wire import Line


class Mute(Wire):
    def __init__(self, first: bool) -> None:
        up, down = os.pipe(), os.pipe()
        self.line = Line(down[0], up[1])
        self._fds, self._said = [up[0], up[1], down[0]], down[1]

    def end(self) -> None:
        said, self._said = self._said, -1
        if said >= 0:
            os.close(said)

    def close(self) -> None:
        self.end()
        for fd in self._fds:
            os.close(fd)

    def why(self) -> UnavailableError:
        return UnavailableError("cut", retryable=True)


@pytest.mark.parametrize("delete", [False, True])
def test_a_helper_that_never_greets_is_a_lost_line(
    delete: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_pool, "GREETING", 0.2)
    (tmp_path / "file").write_text("x")
    cargo = Push(sources=(tmp_path,), target="work", content=True, delete=delete)
    work = Weeder(cargo, Mute) if delete else Pusher(Scan(cargo), Tally(), Mute)
    with pytest.raises(UnavailableError) as caught:
        work.run()
    assert caught.value.retryable
