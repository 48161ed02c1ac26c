"""What every use case needs: the user, secrets, plugins, logins, mail, notifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpurent.composition.recording import make_watch
from gpurent.composition.state import DEFAULT_DEPENDENCIES, ExternalDependencies, StoredState
from gpurent.domain.events import Event, EventKind
from gpurent.infra.platform import system
from gpurent.infra.platform.local_files import make_local_files
from gpurent.infra.plugin_context import PluginContextFactory
from gpurent.infra.redact import Redactor
from gpurent.infra.sandbox_handle import is_sandbox_service
from gpurent.infra.service_sources import STATE_SCOPE, ServiceSources
from gpurent.infra.sqlite.plugin_state import ScopedState
from gpurent.infra.ssh.connector import SshConnector
from gpurent.infra.vault.access import VaultAccess
from gpurent.ports.local_files import LocalFiles
from gpurent.ports.system import Platform
from gpurent.workflow.runtime import (
    durable_steps,
    locks,
    logins,
    lost_leases,
    notices,
    notifications,
    questions,
    restore_checks,
    waiting,
)
from gpurent.workflow.timing.time_reader import TimeLeftReader

if TYPE_CHECKING:
    from gpurent.domain.money import Money
    from gpurent.infra.registry.registry import EntryPointRegistry
    from gpurent.ports.connection import Connector
    from gpurent.ports.terminal import Terminal
    from gpurent.roles.account import Login
    from gpurent.roles.entries import PluginEntry
    from gpurent.roles.plugin_context import PluginContext
    from gpurent.workflow.payments.bookkeeping import Bookkeeping


class RuntimeParts(StoredState):
    """The parts that every use case needs. ``terminal``: where the user is."""

    def __init__(
        self,
        registry: EntryPointRegistry,
        home: Path,
        environment: Mapping[str, str],
        terminal: Terminal,
        outside: ExternalDependencies = DEFAULT_DEPENDENCIES,
    ) -> None:
        super().__init__(registry, home, environment, outside)
        self.terminal = terminal
        self.platform: Platform = system
        self.files: LocalFiles = make_local_files()
        self.redactor = Redactor()
        self.poller = waiting.Poller(self.clock)
        self.questions = questions.Questions(self.store, terminal, self.clock)
        self.restore_checks = restore_checks.RestoreChecks(
            self.store, self.plugins, self.lease_copier, self.clock
        )
        self.lost_leases = lost_leases.LostLeases(self.leases, self.questions, self.restore_checks)
        self.locks = locks.WorkLocks(self.store, self.poller)
        self.trip_tracker = durable_steps.TripTracker(self.store, self.events, self.locks, self.clock)
        self.secrets = VaultAccess(
            self._make_private_folder("vault"),
            environment,
            self.questions.ask_question,
            self.outside_records,
        )
        self.connector: Connector = outside.connector or SshConnector(self._make_private_folder("ssh"))
        self.leases.connector = self.connector
        self.mail = questions.ConfiguredMailReader(self.plugins, self.settings, self.clock)
        self.challenge_answerer = questions.ChallengeAnswerer(
            self.mail,
            self.poller,
            self.questions,
            lambda text: self.events.emit(EventKind.WARNING, text),
        )
        self.logins = logins.Logins(
            self.plugins,
            self.secrets,
            self.redactor,
            self.settings,
            self.questions,
            self.events,
            self.accounts,
            is_vault_required=outside.is_recorded,
        )
        self.service_sources = ServiceSources(
            environment,
            ScopedState(self.store, STATE_SCOPE),
            outside.is_sandbox_service or is_sandbox_service,
        )
        self.lease_copier.find_account = self.plugins.find_account = self.logins.find_account
        self.time_left = TimeLeftReader(
            self.store, self.plugins, self.service_clocks, self.logins.find_account
        )
        self.account_commands = logins.AccountCommands(self.plugins, self.logins)
        self.plugin_contexts = PluginContextFactory(
            registry=self.registry,
            get_settings=self.settings.get_plugin_settings,
            clocks=self.service_clocks,
            secrets=self.secrets,
            store=self.store,
            redactor=self.redactor,
            sources=self.service_sources,
            mail=self.mail,
            log_in=self._get_login,
            answer_challenge=self.challenge_answerer.answer_challenge,
            wrap_http=outside.wrap_http,
            lock=self.locks.lock_lease,
            files=self.files,
            watch=make_watch(outside.recorder, self.redactor, registry),
        )
        notifiers = notifications.ConfiguredNotifiers(
            self.plugins, self.settings, self.plugin_contexts.register_secrets
        )
        writer = notices.NoticeBuilder(
            self.store, self.clock, self.service_clocks, self.redactor, self._get_spending
        )
        self.notifications = notifications.Notifications(
            notifiers, writer, self.settings, self.store, self.show_warning
        )
        self.events.subscribe(terminal.show_event)

    def _make_private_folder(self, name: str) -> Path:
        return system.make_private_folder(self.home / name)

    async def aclose(self) -> None:
        """Close everything that is open; the Store last."""
        await self.notifications.close()
        await self.plugin_contexts.aclose()
        self.store.close()

    @cached_property
    def bookkeeping(self) -> Bookkeeping:
        from gpurent.workflow.payments.bookkeeping import Bookkeeping
        from gpurent.workflow.payments.ledger_heads import LedgerHeads

        heads = LedgerHeads(self.store, self.outside_records)
        return Bookkeeping(self.store, self.plugins, self.events, heads, self.service_clocks)

    async def _get_login(self, auth: str, force_new: bool) -> Login:
        return await self.logins.get_login(auth, force_new=force_new)

    def _make_context(self, entry: PluginEntry[Any], auth: str) -> PluginContext:
        return self.plugin_contexts.make_context(entry, auth)

    async def _get_spending(self, lease_id: str) -> Sequence[Money]:
        return [
            total.spent for total in await self.bookkeeping.sum_spending(lease=lease_id) if total.spent.amount
        ]

    def show_warning(self, text: str) -> None:
        """Show a warning only on the terminal; nobody is notified of it."""
        self.terminal.show_event(Event(kind=EventKind.WARNING, at=self.clock.now(), text=text))
