"""Plugin entry points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import InputField, NotifierEntry, hookimpl
from gpurent_plugin_apprise import _

if TYPE_CHECKING:
    from gpurent.api import Notifier, PluginContext

REQUIRED_API = (1, 0)
SETTINGS = (InputField(name="urls", label=_("Apprise URLs, separated by spaces"), secret=True),)


def _build_notifier(context: PluginContext) -> Notifier:
    from gpurent_plugin_apprise.notifier import AppriseNotifier

    return AppriseNotifier(context.settings["urls"])


@hookimpl
def gpurent_register_notifier() -> Sequence[NotifierEntry]:
    return [
        NotifierEntry(
            name="apprise",
            summary=_("WeCom, DingTalk, ServerChan, Telegram, e-mail and many more"),
            build=_build_notifier,
            settings=SETTINGS,
        )
    ]
