"""The contracts of a provider, for AutoDL."""

from __future__ import annotations

import pytest

from gpurent.testing.contracts import ProviderContract, ProviderSetup, daily_share


@daily_share(1, of=6)
class TestProvider(ProviderContract):
    @pytest.fixture
    def provider_setup(self) -> ProviderSetup:
        # Seven specifications are offered; the list of machines has pages of 3.
        return ProviderSetup(name="autodl", many=7, settings={"autodl.page_size": "3"}, creates_again=True)
