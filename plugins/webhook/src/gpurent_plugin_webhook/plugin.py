"""Plugin entry points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import InputField, NotifierEntry, hookimpl
from gpurent_plugin_webhook import _

if TYPE_CHECKING:
    from gpurent.api import Notifier, PluginContext

REQUIRED_API = (1, 0)
SETTINGS = (
    InputField(name="url", label=_("URL to post to: https (http only on this computer)"), secret=True),
    InputField(name="secret", label=_("Key that signs each message"), secret=True, optional=True),
)


def _build_notifier(context: PluginContext) -> Notifier:
    from gpurent_plugin_webhook.notifier import WebhookNotifier

    return WebhookNotifier(context.settings["url"], context.settings.get("secret", ""))


@hookimpl
def gpurent_register_notifier() -> Sequence[NotifierEntry]:
    return [
        NotifierEntry(
            name="webhook", summary=_("posts JSON to a URL"), build=_build_notifier, settings=SETTINGS
        )
    ]
