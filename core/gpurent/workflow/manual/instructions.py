"""Sending the user to a page: opened where it may be, described in words everywhere."""

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
    """Knows what a provider leaves to the user, and shows how it is done."""

    plugins: Plugins
    settings: Settings
    events: EventEmitter
    platform: Platform

    def find_assisted_rental(self, provider: str) -> AssistedRental | None:
        """The provider's own help with what is done by hand; None: it has none."""
        found = self.plugins.provider(provider)
        return found if isinstance(found, AssistedRental) else None

    def is_manual(self, provider: str) -> bool:
        """Whether machines of ``provider`` are rented by hand now."""
        helper = self.find_assisted_rental(provider)
        return helper is not None and helper.is_manual

    def get_instructions(
        self, provider: str, task: ManualTask, lease: Lease | None = None
    ) -> TaskInstructions:
        """Where to go; a provider that says nothing gets core's own words."""
        helper = self.find_assisted_rental(provider)
        found = helper.get_instructions(task, lease) if helper is not None else TaskInstructions()
        if found.url or found.steps:
            return found
        words = {
            ManualTask.RENT: _(
                "Rent a machine where you usually do, and copy the line with ssh that it shows."
            ),
            ManualTask.RELEASE: _("End the machine where you rented it."),
            ManualTask.TOP_UP: _("Pay in where you usually do."),
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
