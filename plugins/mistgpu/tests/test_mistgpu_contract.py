"""The contracts of a provider, for mistgpu."""

from __future__ import annotations

import pytest

from gpurent.testing.contracts import ProviderContract, ProviderSetup, daily_share


@daily_share(0, of=6)
class TestProvider(ProviderContract):
    @pytest.fixture
    def provider_setup(self) -> ProviderSetup:
        return ProviderSetup(name="mistgpu")
