"""The contract of a rate source, for the European Central Bank."""

from __future__ import annotations

import pytest

from gpurent.testing.contracts import RateSourceContract, RateSourceUnderTest


class TestEcb(RateSourceContract):
    @pytest.fixture
    def rate_source(self) -> RateSourceUnderTest:
        return RateSourceUnderTest(name="ecb")
