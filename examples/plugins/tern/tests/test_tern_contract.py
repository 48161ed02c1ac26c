"""The contracts of a provider, with its login, account and simulator."""

import pytest
from gpurent.testing.contracts import ProviderContract, ProviderSetup


class TestTern(ProviderContract):
    @pytest.fixture
    def provider_setup(self) -> ProviderSetup:
        return ProviderSetup(name="tern")
