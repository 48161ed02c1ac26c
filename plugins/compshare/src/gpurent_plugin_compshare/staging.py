"""Uploading without the GPU: a machine that was created with its GPU is started again in its cheap mode first."""

from __future__ import annotations

from decimal import Decimal

from attrs import evolve

from gpurent.api import (
    Absent,
    Hardware,
    Known,
    Lease,
    LeaseError,
    LeaseState,
    Metered,
    Order,
    OrderKind,
    Payment,
    SupportsStaging,
    UnitPrice,
    make_payable_lease,
    make_taken_error,
)
from gpurent_plugin_compshare import _, wire
from gpurent_plugin_compshare.provider import CompShareProvider, make_requirements

CARDLESS = Hardware(cpus=1, memory=4)
CARDLESS_PRICE = UnitPrice(Decimal("0.15"), wire.CNY)
# Behind the machine's id in the reference of a lease that has no GPU yet: a switch changes the reference.
SUFFIX = "/cardless"


class StagingCompShareProvider(CompShareProvider, SupportsStaging):
    """Stages each order, one at a time: an account may have one machine that runs without its GPU."""

    def make_staging_order(self, order: Order) -> Order:
        if order.offer.spot:
            raise LeaseError(_("a spot machine of CompShare cannot run without its GPU"))
        tariff = Metered(price=CARDLESS_PRICE, billing_increment=wire.SECOND)
        return evolve(order, gpus=0, offer=evolve(order.offer, hardware=CARDLESS, tariff=tariff))

    async def reserve_lease(self, order: Order) -> Lease:
        if order.kind is not OrderKind.SWITCH:
            lease = await super().reserve_lease(order)
            return lease if order.gpus else evolve(lease, offer=order.offer)
        listed = await self.list_offers(make_requirements(order))
        if isinstance(listed, Known) and not listed.items:
            raise make_taken_error(order.offer.key)
        return evolve(make_payable_lease(order, order.offer, wire.CNY, {}), ref=order.onto)

    async def refresh_machine(self, lease: Lease) -> Lease | Absent:
        if lease.offer.hardware.gpus:
            return await super().refresh_machine(lease)
        instance = await self.find_instance(lease)
        if instance is None:
            return Absent()
        is_preparing = lease.pending is not None or lease.state is LeaseState.PROVISIONING
        if lease.pending is None and is_preparing:
            await self._step(lease, instance, without_gpu=True)
        if lease.pending is not None and instance.state == "Running" and not instance.is_cardless:
            lease = evolve(
                lease, ref=instance.lease.ref, pending=None, offer=lease.pending.offer or lease.offer
            )
            return await self.apply_instance(lease, instance)
        seen = await self.apply_instance(evolve(lease, ref=instance.lease.ref + SUFFIX), instance)
        has_gpu = seen.state is LeaseState.READY and not instance.is_cardless
        if has_gpu or (is_preparing and seen.is_stopped):
            note = _("CompShare starts it without its GPU")
            if lease.pending:
                note = _("CompShare starts it with its GPU")
            waiting = seen.with_state(LeaseState.PROVISIONING, note)
            return evolve(waiting, endpoint=None, kept_until=None)
        return seen

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        if lease.pending is None or lease.pending.kind is not OrderKind.SWITCH:
            return await super().confirm_lease(lease, payment)
        instance = await self.find_instance(lease)
        if instance is not None:
            await self._step(lease, instance, without_gpu=False)
        seen = await self.refresh_machine(lease)
        return lease if isinstance(seen, Absent) else seen

    async def _step(self, lease: Lease, instance: wire.Instance, *, without_gpu: bool) -> None:
        """Take the next step to a machine that runs with or without its GPU: shut it down, or start it."""
        if instance.state == "Running" and instance.is_cardless is not without_gpu:
            await self.act_or_wait("StopCompShareInstance", lease)
        elif instance.state == "Stopped":
            await self.act_or_wait("StartCompShareInstance", lease, {"WithoutGpu": str(without_gpu).lower()})
