"""Sending the user to a page: opened where it may be, told in words everywhere."""

from __future__ import annotations

import asyncio

from gpurent.adapters.browser import open_page
from gpurent.locale import _
from gpurent.model.events import EventKind
from gpurent.model.lease import Lease
from gpurent.ports.assisted import Assisted, Errand, Guide
from gpurent.workflow.desk import Desk


def assisted(desk: Desk, provider: str) -> Assisted | None:
    """The provider's own help with what is done by hand; None: it has none."""
    shop = desk.shop(provider)
    return shop if isinstance(shop, Assisted) else None


def handed(desk: Desk, provider: str) -> bool:
    """Whether machines of ``provider`` are rented by hand now."""
    helper = assisted(desk, provider)
    return helper is not None and helper.by_hand


def guide_of(desk: Desk, provider: str, errand: Errand, lease: Lease | None = None) -> Guide:
    """Where to go; a provider that says nothing gets core's own words."""
    helper = assisted(desk, provider)
    found = helper.guide(errand, lease) if helper is not None else Guide()
    if found.url or found.steps:
        return found
    words = {
        Errand.RENT: _("Rent a machine where you usually do, and copy the line with ssh that it shows."),
        Errand.RELEASE: _("End the machine where you rented it."),
        Errand.TOP_UP: _("Pay in where you usually do."),
    }
    return Guide(steps=(words[errand],))


async def send(desk: Desk, provider: str, guide: Guide, *, trip: str = "", lease: str = "") -> None:
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
