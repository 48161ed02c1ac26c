"""The hooks. Each is a sync function, fast, does no I/O, and returns a list of entries; none is ``firstresult``.

A plugin module under the entry-point group ``gpurent`` implements the ones it needs::

    from gpurent.api import SessionEntry, hookimpl

    def _screen(host):
        from gpurent_plugin_screen.backend import ScreenBackend
        return ScreenBackend()

    @hookimpl
    def gpurent_register_session():
        return [SessionEntry(name="screen", summary="GNU screen", build=_screen, rank=10)]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from gpurent.roles import entries

hookspec = pluggy.HookspecMarker("gpurent")
hookimpl = pluggy.HookimplMarker("gpurent")


@hookspec
def gpurent_register_auth() -> Sequence[entries.AuthEntry]:  # type: ignore[empty-body]
    """Register ways to log in: declared fields in, a `Login` out."""


@hookspec
def gpurent_register_billing() -> Sequence[entries.BillingEntry]:  # type: ignore[empty-body]
    """Register accounts and wallets: balance, dated exchange rate, top-up, payment, charges."""


@hookspec
def gpurent_register_lease() -> Sequence[entries.LeaseEntry]:  # type: ignore[empty-body]
    """Register providers: offers, reserve, confirm, refresh, release."""


@hookspec
def gpurent_register_transfer() -> Sequence[entries.TransferEntry]:  # type: ignore[empty-body]
    """Register transfer backends: push and pull, resumable and verified."""


@hookspec
def gpurent_register_session() -> Sequence[entries.SessionEntry]:  # type: ignore[empty-body]
    """Register session backends such as screen, which only return shell commands and parse their output."""


@hookspec
def gpurent_register_mailbox() -> Sequence[entries.MailboxEntry]:  # type: ignore[empty-body]
    """Register mailboxes, which receive codes and SSH commands."""


@hookspec
def gpurent_register_notifier() -> Sequence[entries.NotifierEntry]:  # type: ignore[empty-body]
    """Register notifiers, which tell the user what happens."""


@hookspec
def gpurent_register_rate() -> Sequence[entries.RateEntry]:  # type: ignore[empty-body]
    """Register sources of dated exchange rates, for currencies between which no account reports one."""


@hookspec
def gpurent_register_launcher() -> Sequence[entries.LauncherEntry]:  # type: ignore[empty-body]
    """Register launchers: pure functions from a command to the shell command line that runs it."""


@hookspec
def gpurent_register_exporter() -> Sequence[entries.ExporterEntry]:  # type: ignore[empty-body]
    """Register exporters: connection profiles for other programs."""


@hookspec
def gpurent_register_command() -> Sequence[entries.CommandEntry]:  # type: ignore[empty-body]
    """Register commands of the CLI, imported only when they are run."""


@hookspec
def gpurent_register_simulator() -> Sequence[entries.SimulatorEntry]:  # type: ignore[empty-body]
    """Register simulators, which replace the real services in the sandbox."""
