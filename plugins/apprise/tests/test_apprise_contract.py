"""The contract of a notifier, for Apprise's own JSON service."""

from __future__ import annotations

import pytest

from gpurent.testing.contracts import NotifierContract, NotifierMaker
from gpurent_plugin_apprise.notifier import AppriseNotifier


class TestApprise(NotifierContract):
    @pytest.fixture
    def make_notifier(self) -> NotifierMaker:
        return lambda url: AppriseNotifier(url.replace("http://", "json://"))
