"""Orders that follow from another order or from a lease; none of them asks the provider anything."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from gpurent.api import (
    Lease,
    LeaseError,
    Order,
    OrderKind,
    Prepaid,
    SupportsDowngrade,
    SupportsRenewal,
    SupportsRestart,
    SupportsStaging,
)
from gpurent_plugin_gpu1024 import _, wire
from gpurent_plugin_gpu1024.sizes import DAY, STOPPED_ORDER


class Gpu1024OrderMixin(SupportsStaging, SupportsDowngrade, SupportsRenewal, SupportsRestart):
    """CPU container first, switch back to it, more time, and a stopped container started again."""

    def make_staging_order(self, order: Order) -> Order:
        if order.offer.provider_data.get("cpu_container") != "yes":
            raise LeaseError(
                _("this machine has no CPU container to upload to first"),
                hint=_(
                    "Pick another machine, or rent this one with --no-staged; you then pay for the GPU"
                    " while you upload."
                ),
            )
        return Order(
            key=order.key,
            kind=OrderKind.NEW,
            offer=wire.make_cpu_offer(order.offer),
            term=DAY,
            gpus=0,
            disk=order.disk,
            password_ref=order.password_ref,
            image=order.image,
        )

    def make_downgrade_order(self, lease: Lease, key: str) -> Order:
        return Order(
            key=key,
            kind=OrderKind.SWITCH,
            offer=wire.make_cpu_offer(lease.offer),
            term=DAY,
            onto=str(lease.ref),
            gpus=0,
            disk=int(lease.provider_data.get("disk", "0")),
            password_ref=lease.password_ref,
        )

    def make_renewal_order(self, lease: Lease, term: timedelta, key: str) -> Order:
        return Order(
            key=key,
            kind=OrderKind.RENEW,
            offer=lease.offer,
            term=term,
            onto=lease.ref,
            gpus=int(lease.provider_data.get("gpus", "1")),
        )

    def make_restart_order(self, lease: Lease, key: str) -> Order:
        tariff = lease.offer.tariff
        is_gpu = lease.offer.hardware.gpus > 0
        return Order(
            key=key,
            kind=OrderKind.NEW,
            offer=evolve(
                lease.offer, provider_data={**lease.offer.provider_data, STOPPED_ORDER: str(lease.ref)}
            ),
            term=tariff.minimum if is_gpu and isinstance(tariff, Prepaid) else DAY,
            gpus=int(lease.provider_data.get("gpus", "1")) if is_gpu else 0,
            disk=int(lease.provider_data.get("disk", "0")),
        )
