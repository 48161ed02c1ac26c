"""The second best far side: no Python there, only a shell, tar and what usually comes with them."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from gpurent.api import Progress, Pull, Push
from gpurent_plugin_turbo.near.connection.ssh_process import Wire
from gpurent_plugin_turbo.near.push.scan import Scan
from gpurent_plugin_turbo.posix.prune import PlainWeeder
from gpurent_plugin_turbo.posix.pull import PlainPuller
from gpurent_plugin_turbo.posix.push import PlainPusher
from gpurent_plugin_turbo.posix.scripts import START as START
from gpurent_plugin_turbo.posix.shell import Shell

FULL = "full"


@frozen
class Plainly:
    """Makes the works of one machine. ``dial`` runs `START` there; any thread may call it."""

    dial: Callable[[], Wire]

    def pusher(self, cargo: Push, progress: Progress) -> PlainPusher:
        shell = Shell(self.dial, cargo.limit)
        return PlainPusher(Scan(cargo), progress, shell, target=cargo.target, whole=cargo.verify == FULL)

    def puller(self, cargo: Pull, progress: Progress) -> PlainPuller:
        return PlainPuller(cargo, progress, Shell(self.dial, cargo.limit), whole=cargo.verify == FULL)

    def weeder(self, cargo: Push) -> PlainWeeder:
        return PlainWeeder(cargo, Shell(self.dial))
