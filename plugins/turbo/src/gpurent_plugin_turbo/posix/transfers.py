"""Transfers with a machine without Python, which has only a shell, tar and what usually comes with them."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from gpurent.api import Progress, Pull, Push
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.push.push_factory import FULL_VERIFY
from gpurent_plugin_turbo.near.push.scan import SourceScan
from gpurent_plugin_turbo.posix.prune import PosixPruner
from gpurent_plugin_turbo.posix.pull import PosixPuller
from gpurent_plugin_turbo.posix.push import PosixPusher
from gpurent_plugin_turbo.posix.shell import PosixShell


@frozen
class PosixTransfers:
    """``open_connection`` runs `START_COMMAND` on the machine; any thread may call it."""

    open_connection: Callable[[], CommandConnection]

    def create_pusher(self, spec: Push, progress: Progress) -> PosixPusher:
        shell, full = PosixShell(self.open_connection, spec.limit), spec.verify == FULL_VERIFY
        return PosixPusher(SourceScan(spec), progress, shell, target=spec.target, full_verify=full)

    def create_puller(self, spec: Pull, progress: Progress) -> PosixPuller:
        shell = PosixShell(self.open_connection, spec.limit)
        return PosixPuller(spec, progress, shell, full_verify=spec.verify == FULL_VERIFY)

    def create_pruner(self, spec: Push) -> PosixPruner:
        return PosixPruner(spec, PosixShell(self.open_connection))
