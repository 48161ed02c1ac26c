"""The hooks. Each is sync, cheap, does no I/O, and returns a list of entries; none is ``firstresult``.

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
    """Ways to log in: declared fields in, a `Login` out."""


@hookspec
def gpurent_register_billing() -> Sequence[entries.BillingEntry]:  # type: ignore[empty-body]
    """Accounts and wallets: balance, dated rate, top-up, payment, charges."""


@hookspec
def gpurent_register_lease() -> Sequence[entries.LeaseEntry]:  # type: ignore[empty-body]
    """Providers of machines: offers, reserve, confirm, refresh, release."""


@hookspec
def gpurent_register_transfer() -> Sequence[entries.TransferEntry]:  # type: ignore[empty-body]
    """Carriers of files: push and pull, resumable and verified."""


@hookspec
def gpurent_register_session() -> Sequence[entries.SessionEntry]:  # type: ignore[empty-body]
    """Keepers of sessions such as screen: strings out, strings in."""


@hookspec
def gpurent_register_mailbox() -> Sequence[entries.MailboxEntry]:  # type: ignore[empty-body]
    """Mailboxes in which codes and SSH lines arrive."""


@hookspec
def gpurent_register_notifier() -> Sequence[entries.NotifierEntry]:  # type: ignore[empty-body]
    """Those who tell the user what happens."""


@hookspec
def gpurent_register_launcher() -> Sequence[entries.LauncherEntry]:  # type: ignore[empty-body]
    """Pure functions from a command to the line that runs it."""


@hookspec
def gpurent_register_exporter() -> Sequence[entries.ExporterEntry]:  # type: ignore[empty-body]
    """Writers of connection profiles for other programs."""


@hookspec
def gpurent_register_command() -> Sequence[entries.CommandEntry]:  # type: ignore[empty-body]
    """Commands of the CLI, imported only when they are run."""


@hookspec
def gpurent_register_simulator() -> Sequence[entries.SimulatorEntry]:  # type: ignore[empty-body]
    """Fake services that the sandbox raises in place of the real ones."""
