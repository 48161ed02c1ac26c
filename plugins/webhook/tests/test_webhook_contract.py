"""The contract of a notifier, for the webhook."""

from __future__ import annotations

import pytest

from gpurent.testing.contracts import NotifierContract, NotifierMaker
from gpurent_plugin_webhook.notifier import WebhookNotifier


class TestWebhook(NotifierContract):
    @pytest.fixture
    def make_notifier(self) -> NotifierMaker:
        return lambda url: WebhookNotifier(url, "")
