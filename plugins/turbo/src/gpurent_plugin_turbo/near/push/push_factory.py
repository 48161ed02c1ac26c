"""Makes a push that runs in any thread; imports nothing that a push over system ssh does not need."""

from __future__ import annotations

import os

from gpurent_plugin_turbo.near.push.pusher import StreamPusher
from gpurent_plugin_turbo.near.push.scan import SourceScan
from gpurent_plugin_turbo.shared.codec import BEST_DIGEST, compute_digest

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gpurent.api import Progress, Push, SshConnection
    from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection

FULL_VERIFY = "full"


def read_max_streams(settings: Mapping[str, str]) -> int:
    return int(settings.get("lines") or 8)


def _mark_first_push(link: SshConnection, target: str) -> bool:
    """Whether nothing was ever sent there from here, so that nobody needs to ask what is there. Only a guess."""
    note = f"pushed-{compute_digest(BEST_DIGEST, target.encode()).hex()[:16]}"
    try:
        place = os.path.join(os.path.dirname(link.key_file), note)
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError:
        return False
    return True


def create_pusher(
    link: SshConnection,
    spec: Push,
    progress: Progress,
    settings: Mapping[str, str],
    open_connection: Callable[[bool], CommandConnection],
) -> StreamPusher:
    """Its `run` blocks and its `stop` ends it."""
    return StreamPusher(
        SourceScan(spec),
        progress,
        open_connection,
        full_verify=spec.verify == FULL_VERIFY,
        limit=spec.limit,
        first_push=_mark_first_push(link, spec.target),
        max_streams=read_max_streams(settings),
    )
