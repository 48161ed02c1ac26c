"""The notifier: each URL is one service, and all of them are notified."""

from __future__ import annotations

import logging

import apprise
from apprise.utils.parse import parse_urls

from gpurent.api import Notice, NoticeLevel, Notifier, UnavailableError, UsageError
from gpurent_plugin_apprise import _

NOTIFY_TYPES = {NoticeLevel.WARNING: apprise.NotifyType.WARNING}
APPRISE_ASSET = apprise.AppriseAsset(
    app_id="gpurent", app_desc="gpurent", async_mode=False, secure_logging=True, http_redirects=False
)


class AppriseNotifier(Notifier):
    """Notifies the services at the user's URLs; these contain keys, so errors name only the service."""

    def __init__(self, urls: str) -> None:
        self._services: list[apprise.NotifyBase] = []
        for number, url in enumerate(parse_urls(urls), 1):  # type: ignore[no-untyped-call]
            made = apprise.Apprise.instantiate(url, asset=APPRISE_ASSET, suppress_exceptions=True)
            if made is None:
                scheme = url.partition("://")[0][:20]
                raise UsageError(
                    _("Apprise does not recognize URL {number} ({scheme}://…)").format(
                        number=number, scheme=scheme
                    )
                )
            self._services.append(made)
        if not self._services:
            raise UsageError(_("no Apprise URL in urls"))

    def notify(self, notice: Notice) -> None:
        """Notify every service, even if one fails; nothing is retried."""
        failed, not_accepted = [], _("the service did not accept the message")
        for service in self._services:
            with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:  # type: ignore[no-untyped-call]
                taken = service.notify(
                    title=notice.title,
                    body=notice.body,
                    notify_type=NOTIFY_TYPES.get(notice.level, apprise.NotifyType.INFO),
                    body_format=apprise.NotifyFormat.TEXT,
                )
                why = " ".join(said.getvalue().split())[:200]
            if not taken:
                failed.append(f"{service.service_name}: {why or not_accepted}")
        if failed:
            raise UnavailableError("; ".join(failed), retryable=True)
