"""Entries only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import Field, NotifierEntry, hookimpl
from gpurent_plugin_webhook import _

if TYPE_CHECKING:
    from gpurent.api import Notifier, PluginContext

SETTINGS = (
    Field(name="url", label=_("Where to post: an https address (http only on this computer)"), secret=True),
    Field(name="secret", label=_("The key that signs each message"), secret=True, optional=True),
)


def _build(host: PluginContext) -> Notifier:
    from gpurent_plugin_webhook.hook import Webhook

    return Webhook(host.settings["url"], host.settings.get("secret", ""))


@hookimpl
def gpurent_register_notifier() -> Sequence[NotifierEntry]:
    return [
        NotifierEntry(name="webhook", summary=_("posts JSON to an address"), build=_build, settings=SETTINGS)
    ]
