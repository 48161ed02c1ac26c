"""The contracts of a provider, for vast."""

from __future__ import annotations

import pytest

from gpurent.testing.contracts import ProviderContract, ProviderSetup, daily_share


@daily_share(2, of=6)
class TestProvider(ProviderContract):
    @pytest.fixture
    def provider_setup(self) -> ProviderSetup:
        # Its list of machines has pages of 25.
        return ProviderSetup(name="vast", many=27)
