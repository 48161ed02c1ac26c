"""A push as a plain object that runs in any thread; imports nothing that a push over system ssh does not need."""

from __future__ import annotations

import os

from gpurent_plugin_turbo.near.push.pusher import Pusher
from gpurent_plugin_turbo.near.push.scan import Scan
from gpurent_plugin_turbo.shared.codec import BEST_DIGEST, compute_digest

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gpurent.api import Progress, Push, SshConnection
    from gpurent_plugin_turbo.near.connection.ssh_process import Wire

FULL = "full"
LINES = 8


def _first_time(link: SshConnection, target: str) -> bool:
    """Whether nothing was ever sent there from here: then nobody needs to ask what is there. Only a guess."""
    note = f"pushed-{compute_digest(BEST_DIGEST, target.encode()).hex()[:16]}"
    try:
        place = os.path.join(os.path.dirname(link.key_file), note)
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError:
        return False
    return True


def pusher(
    link: SshConnection,
    cargo: Push,
    progress: Progress,
    settings: Mapping[str, str],
    dial: Callable[[bool], Wire],
) -> Pusher:
    """Its `run` blocks and its `stop` ends it."""
    return Pusher(
        Scan(cargo),
        progress,
        dial,
        whole=cargo.verify == FULL,
        limit=cargo.limit,
        cold=_first_time(link, cargo.target),
        lines=int(settings.get("lines") or LINES),
    )
