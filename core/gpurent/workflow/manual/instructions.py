"""Instructions for what the user does on the provider's pages: opened in the browser if allowed, always in words."""

from __future__ import annotations

import asyncio

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.locale import _
from gpurent.ports.system import Platform
from gpurent.roles.lease import AssistedRental, ManualTask, TaskInstructions
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.settings import Settings


@frozen
class ManualInstructions:
    """Finds and shows the instructions for manual tasks."""

    plugins: Plugins
    settings: Settings
    events: EventEmitter
    platform: Platform

    def find_assisted_rental(self, provider: str) -> AssistedRental | None:
        """Return the provider's support for manual rental, or None if it has none."""
        found = self.plugins.provider(provider)
        return found if isinstance(found, AssistedRental) else None

    def is_manual(self, provider: str) -> bool:
        """Return whether machines of ``provider`` currently have to be rented manually."""
        helper = self.find_assisted_rental(provider)
        return helper is not None and helper.is_manual

    def get_instructions(
        self, provider: str, task: ManualTask, lease: Lease | None = None
    ) -> TaskInstructions:
        """Return the provider's instructions for ``task``, or generic ones if it has none."""
        helper = self.find_assisted_rental(provider)
        found = helper.get_instructions(task, lease) if helper is not None else TaskInstructions()
        if found.url or found.steps:
            return found
        words = {
            ManualTask.RENT: _("Rent a machine on the provider's page and copy the SSH command shown there."),
            ManualTask.RELEASE: _("Release the machine on the provider's page."),
            ManualTask.TOP_UP: _("Top up on the provider's page."),
        }
        return TaskInstructions(steps=(words[task],))

    async def show_instructions(
        self, provider: str, instructions: TaskInstructions, *, trip: str = "", lease: str = ""
    ) -> None:
        lines = [f"{number}. {step}" for number, step in enumerate(instructions.steps, 1)]
        if instructions.url:
            opened = await self._open_page(provider, instructions.url)
            text = _("This page was opened in your browser: {url}") if opened else _("Open this page: {url}")
            lines.insert(0, text.format(url=instructions.url))
        for line in lines:
            self.events.emit(EventKind.MANUAL_TASK, line, trip=trip, lease=lease, provider=provider)

    async def _open_page(self, provider: str, url: str) -> bool:
        if self.settings.get("core", "browser", "yes") == "no":
            return False
        hosts = self.plugins.provider_entry(provider).web_hosts
        return await asyncio.to_thread(self.platform.open_page, url, hosts)
