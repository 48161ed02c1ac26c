"""Uploading without the GPU: a machine that was created with its GPU is started again in its cheap mode first."""

from __future__ import annotations

from decimal import Decimal

from attrs import evolve

from gpurent.api import (
    Absent,
    Hardware,
    Lease,
    LeaseError,
    LeaseState,
    Metered,
    Order,
    OrderKind,
    Payment,
    SoldOut,
    Spent,
    SupportsStaging,
    UnitPrice,
    make_taken_error,
    quote_reason,
)
from gpurent_plugin_compshare import _, wire
from gpurent_plugin_compshare.provider import NO_STOCK, CompShareProvider, make_pending

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
        if await self.find_offer(order) is None:
            raise make_taken_error(order.offer.key)
        return Lease(
            id="", provider=wire.NAME, offer=order.offer, ref=order.onto, pending=make_pending(order)
        )

    async def refresh_machine(self, lease: Lease) -> Lease | Absent:
        if lease.offer.hardware.gpus:
            return await super().refresh_machine(lease)
        instance = await self.find_instance(lease)
        if instance is None:
            return Absent()
        if lease.pending is None and lease.state is LeaseState.PROVISIONING:
            await self._step(lease, instance, without_gpu=True)
        if lease.pending is not None and instance.state == "Running" and not instance.is_cardless:
            lease = evolve(lease, ref=instance.id, pending=None, offer=lease.pending.offer or lease.offer)
            return await self.apply_instance(lease, instance)
        seen = await self.apply_instance(evolve(lease, ref=instance.id + SUFFIX), instance)
        if (seen.state is LeaseState.READY and not instance.is_cardless) or (
            lease.pending and seen.is_stopped
        ):
            note = _("CompShare restarts it with another size")
            return evolve(seen.with_state(LeaseState.PROVISIONING, note), endpoint=None)
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
            reply = await self.act("StopCompShareInstance", lease)
        elif instance.state == "Stopped":
            reply = await self.act("StartCompShareInstance", lease, {"WithoutGpu": without_gpu})
        else:
            return
        why = quote_reason(reply.message)
        if reply.error == NO_STOCK:
            text = _("CompShare has no GPU left for this machine: {why}").format(why=why)
            raise SoldOut(text, spent=Spent.NO, burning=(lease.id,))
        if reply.error and not reply.is_locked:
            text = _("CompShare did not change the machine's state: {why}")
            raise LeaseError(text.format(why=why), burning=(lease.id,))
