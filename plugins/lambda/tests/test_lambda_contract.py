"""The contracts of a provider, for Lambda Cloud."""

from __future__ import annotations

import pytest

from gpurent.testing.contracts import ProviderContract, ProviderSetup, daily_share


@daily_share(4, of=6)
class TestProvider(ProviderContract):
    @pytest.fixture
    def provider_setup(self) -> ProviderSetup:
        return ProviderSetup(name="lambda")
