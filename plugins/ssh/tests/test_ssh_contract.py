"""The contract of a provider without an API, for any SSH host."""

from __future__ import annotations

import pytest

from gpurent.api import LeaseEntry
from gpurent.testing.contracts import ManualProviderContract
from gpurent_plugin_ssh import plugin


class TestAnySshHost(ManualProviderContract):
    @pytest.fixture
    def manual_entry(self) -> LeaseEntry:
        (entry,) = plugin.gpurent_register_lease()
        return entry
