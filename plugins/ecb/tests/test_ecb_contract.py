"""The contract of a rate source, for the European Central Bank."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gpurent.testing.contracts import RateSourceContract, RateSourceUnderTest


class TestEcb(RateSourceContract):
    @pytest.fixture
    def rate_source(self) -> RateSourceUnderTest:
        return RateSourceUnderTest(
            name="ecb",
            settings={"ecb.usd": "1.0859", "ecb.cny": "7.8512"},
            expected={("USD", "CNY"): Decimal("7.230132")},
        )
