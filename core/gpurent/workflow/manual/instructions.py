"""Sending the user to a page: opened where it may be, told in words everywhere."""

from __future__ import annotations

import asyncio

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.infra.platform.posix.browser import open_page
from gpurent.locale import _
from gpurent.roles.assisted import AssistedRental, Instructions, ManualTask
from gpurent.workflow.runtime.desk import Desk


def assisted(desk: Desk, provider: str) -> AssistedRental | None:
    """The provider's own help with what is done by hand; None: it has none."""
    shop = desk.shop(provider)
    return shop if isinstance(shop, AssistedRental) else None


def handed(desk: Desk, provider: str) -> bool:
    """Whether machines of ``provider`` are rented by hand now."""
    helper = assisted(desk, provider)
    return helper is not None and helper.by_hand


def guide_of(desk: Desk, provider: str, errand: ManualTask, lease: Lease | None = None) -> Instructions:
    """Where to go; a provider that says nothing gets core's own words."""
    helper = assisted(desk, provider)
    found = helper.guide(errand, lease) if helper is not None else Instructions()
    if found.url or found.steps:
        return found
    words = {
        ManualTask.RENT: _("Rent a machine where you usually do, and copy the line with ssh that it shows."),
        ManualTask.RELEASE: _("End the machine where you rented it."),
        ManualTask.TOP_UP: _("Pay in where you usually do."),
    }
    return Instructions(steps=(words[errand],))


async def send(desk: Desk, provider: str, guide: Instructions, *, trip: str = "", lease: str = "") -> None:
    """Show the page and what to do there."""
    entry = desk.provider(provider)
    opened = False
    if guide.url and desk.setting("core", "browser", "yes") != "no":
        opened = await asyncio.to_thread(open_page, guide.url, entry.hosts)
    lines = []
    if guide.url:
        text = _("This page was opened in your browser: {url}") if opened else _("Open this page: {url}")
        lines.append(text.format(url=guide.url))
    lines += [f"{number}. {step}" for number, step in enumerate(guide.steps, 1)]
    for line in lines:
        desk.tell(EventKind.BY_HAND, line, trip=trip, lease=lease, provider=provider)
