"""The contracts of a provider, for Lambda Cloud."""

from __future__ import annotations

import pytest

from gpurent.testing.contracts import ProviderContract, ProviderSetup, daily_share


@daily_share(0, of=2)
class TestProvider(ProviderContract):
    @pytest.fixture
    def provider_setup(self) -> ProviderSetup:
        return ProviderSetup(name="lambda")
