"""The contracts of a provider, for compshare."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gpurent.testing.contracts import ProviderContract, ProviderSetup, StagingContract, daily_share


@daily_share(3, of=6)
class TestProvider(ProviderContract):
    @pytest.fixture
    def provider_setup(self) -> ProviderSetup:
        # One GPU of each model, so that it is taken by one customer; the lock of an operation as long as documented.
        return ProviderSetup(
            name="compshare",
            machines=3,
            poll_interval=timedelta(seconds=90),
            settings={"compshare.lock_minutes": "10"},
        )


@daily_share(3, of=6)
class TestStaging(StagingContract):
    """With the setting that uploads without the GPU."""

    @pytest.fixture
    def provider_setup(self) -> ProviderSetup:
        return ProviderSetup(
            name="compshare",
            machines=3,
            poll_interval=timedelta(seconds=90),
            settings={"compshare.lock_minutes": "10", "compshare.cardless": "yes"},
        )
