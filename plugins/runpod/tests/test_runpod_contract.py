"""The contracts of a provider, for runpod."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gpurent.testing.contracts import ProviderContract, ProviderSetup, daily_share


@daily_share(1, of=3)
class TestProvider(ProviderContract):
    @pytest.fixture
    def provider_setup(self) -> ProviderSetup:
        # Billed every five minutes, of the three hours that a price is measured for.
        settings = {"runpod.page_limit": "2"}
        return ProviderSetup(name="runpod", settings=settings, many=5, price_tolerance=Decimal("0.03"))
