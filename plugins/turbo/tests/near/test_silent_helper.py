"""A remote side that accepts the connection and never sends anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpurent.api import PushRequest, UnavailableError
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.local_files import open_sources
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.connection.stream_pool import TransferStream
from gpurent_plugin_turbo.near.prune import RemotePruner
from gpurent_plugin_turbo.near.push.pusher import StreamPusher
from gpurent_plugin_turbo.shared.wire import ACK, FrameStream, ProtocolViolation


class SilentConnection(CommandConnection):
    def __init__(self, first: bool) -> None:
        up, down = os.pipe(), os.pipe()
        self.frames = FrameStream(down[0], up[1])
        self._fds, self._answer_pipe = [up[0], up[1], down[0]], down[1]

    def abort(self) -> None:
        answer_pipe, self._answer_pipe = self._answer_pipe, -1
        if answer_pipe >= 0:
            os.close(answer_pipe)

    def close(self) -> None:
        self.abort()
        for fd in self._fds:
            os.close(fd)

    def explain_end(self) -> UnavailableError:
        return UnavailableError("cut", retryable=True)


@pytest.mark.parametrize("delete", [False, True])
def test_a_helper_that_never_answers_is_a_lost_connection(
    delete: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CommandConnection, "handshake_timeout", 0.2)
    (tmp_path / "file").write_text("x")
    request = PushRequest(sources=(tmp_path,), target="work", contents_only=True, delete=delete)
    work = (
        RemotePruner(request, open_sources(request), SilentConnection)
        if delete
        else StreamPusher(request, open_sources(request), CountingProgress(), SilentConnection)
    )
    with pytest.raises(UnavailableError) as caught:
        work.run()
    assert caught.value.retryable


def test_what_is_acknowledged_after_a_stream_was_lost_is_ignored(tmp_path: Path) -> None:
    """One thread may find the connection dropped while another still reads earlier frames."""
    pusher = StreamPusher(
        (request := PushRequest(sources=(tmp_path,), target="work")),
        open_sources(request),
        CountingProgress(),
        SilentConnection,
    )
    stream = TransferStream(SilentConnection(True), True)
    with pytest.raises(ProtocolViolation):
        pusher._handle_ack(stream, ACK.pack(3, 0), b"")
    stream.is_lost = True
    pusher._handle_ack(stream, ACK.pack(3, 0), b"")
    stream.connection.close()
