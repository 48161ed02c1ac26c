"""Sample leases for tests."""

from __future__ import annotations

from decimal import Decimal

from gpurent.api import CNY, Hardware, Lease, LeaseState, Metered, Offer, UnitPrice


def make_lease(ref: str = "") -> Lease:
    tariff = Metered(price=UnitPrice(Decimal(1), CNY))
    offer = Offer(key="m", provider="1024gpu", hardware=Hardware(), tariff=tariff)
    return Lease(id="x-1", provider="1024gpu", offer=offer, state=LeaseState.READY, ref=ref)
