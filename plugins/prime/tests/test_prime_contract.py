"""The contracts of a provider, for Prime Intellect."""

from __future__ import annotations

import pytest

from gpurent.testing.contracts import ProviderContract, ProviderSetup, daily_share


@daily_share(0, of=2)
class TestProvider(ProviderContract):
    @pytest.fixture
    def provider_setup(self) -> ProviderSetup:
        # Its list of pods is read in pages of 25.
        return ProviderSetup(name="prime", many=27)
