"""What becomes of a machine: created, running, stopped, deleted; and the sandbox's machine that it is."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from gpurent.api import SimulatorContext
from gpurent_plugin_compshare.simulator.accounts import CompShareAccount
from gpurent_plugin_compshare.simulator.amounts import HOUR, Meter
from gpurent_plugin_compshare.simulator.instances import CompShareInstance
from gpurent_plugin_compshare.simulator.stock import Stock

LOG = logging.getLogger(__name__)
STARTS_AFTER, RESTARTS_AFTER, STOPS_AFTER = timedelta(seconds=2), timedelta(seconds=10), timedelta(seconds=8)


class InstanceLife:
    """Changes machines at given moments.

    Assumed: how long each state takes (setting boot_seconds), and that a machine is billed from when it runs until it
    is stopped. An operation locks its machine until it is done, and for lock_minutes (0) at least.
    """

    def __init__(self, context: SimulatorContext, stock: Stock) -> None:
        self._context, self._stock = context, stock
        self._boot_time = timedelta(seconds=int(context.settings.get("boot_seconds", "20")))
        self._lock_time = timedelta(minutes=int(context.settings.get("lock_minutes", "0")))

    def begin(self, instance: CompShareInstance, at: datetime) -> None:
        """Let a new machine start."""
        self._take_gpus(instance)
        instance.steps = [(at + STARTS_AFTER, "Starting"), (at + self._boot_time, "Running")]

    def has_stock(self, instance: CompShareInstance) -> bool:
        return instance.holds_gpus or self._stock.free.get(self._place(instance), 0) >= instance.wish.size[0]

    def start(self, instance: CompShareInstance, at: datetime, *, without_gpu: bool) -> None:
        instance.is_cardless = without_gpu
        if not without_gpu:
            self._take_gpus(instance)
        self._lock(instance, at)
        instance.set_state("Starting", at)
        instance.steps = [(at + RESTARTS_AFTER, "Running")]

    async def stop(self, instance: CompShareInstance, at: datetime) -> None:
        await self._kill(instance)
        self._lock(instance, at)
        instance.set_state("Stopping", at)
        instance.steps = [(at + STOPS_AFTER, "Stopped")]

    async def reboot(self, instance: CompShareInstance, at: datetime) -> None:
        await self._kill(instance)
        self._lock(instance, at)
        instance.set_state("Rebooting", at)
        instance.steps = [(at + RESTARTS_AFTER, "Running")]

    async def take_step(self, account: CompShareAccount, instance: CompShareInstance, at: datetime) -> None:
        """Do the next of its steps."""
        _at, state = instance.steps.pop(0)
        instance.set_state(state, at)
        if state == "Running":
            instance.started_at = instance.started_at or at
            account.set_rate(instance.meter, instance.running_rate, at)
            await self._boot(instance)
        elif state == "Stopped":
            self._stopped(account, instance, at)

    def _stopped(self, account: CompShareAccount, instance: CompShareInstance, at: datetime) -> None:
        account.set_rate(instance.meter, instance.stopped_rate, at)
        instance.started_at, instance.stops_at, instance.is_cardless = None, None, False
        if not instance.is_prepaid:
            self._free_gpus(instance)

    async def delete(
        self, account: CompShareAccount, instance: CompShareInstance, at: datetime, *, keeps_data_disk: bool
    ) -> None:
        """End it. A data disk that is kept goes on to cost money."""
        await self._kill(instance)
        account.set_rate(instance.meter, 0, at)
        refund = instance.compute_refund(at)
        account.add_bill(instance.meter, "OT_REFUND", instance.paid_from or at, at, -refund, at)
        instance.deleted_at, instance.steps, instance.state = at, [], "Deleted"
        self._free_gpus(instance)
        if instance.wish.data_disk and keeps_data_disk:
            left = Meter(f"bsm-{instance.id.removeprefix('uhost-')}", "Postpay")
            left.set_rate(instance.wish.data_disk * 5, at)
            account.left_disks.append(left)
        await self._context.machines.delete_disk(instance.disk_key)

    async def reclaim(self, account: CompShareAccount, instance: CompShareInstance, at: datetime) -> None:
        """Take a spot machine away: its first hour is free then."""
        if instance.started_at is not None and at - instance.started_at < HOUR:
            instance.meter.take_cost(at)
        await self.delete(account, instance, at, keeps_data_disk=True)

    async def fail_install(
        self, account: CompShareAccount, instance: CompShareInstance, at: datetime
    ) -> None:
        """Let the installation of its image fail."""
        await self._kill(instance)
        account.set_rate(instance.meter, instance.stopped_rate, at)
        instance.steps = []
        instance.set_state("Install Fail", at)

    # GPUs

    def _place(self, instance: CompShareInstance) -> tuple[str, str]:
        return instance.wish.zone.name, instance.wish.model.name

    def _take_gpus(self, instance: CompShareInstance) -> None:
        if not instance.holds_gpus:
            self._stock.free[self._place(instance)] -= instance.wish.size[0]
            instance.holds_gpus = True

    def _free_gpus(self, instance: CompShareInstance) -> None:
        if instance.holds_gpus:
            self._stock.free[self._place(instance)] += instance.wish.size[0]
            instance.holds_gpus = False

    # the sandbox's machine

    def _lock(self, instance: CompShareInstance, at: datetime) -> None:
        instance.locked_until = at + self._lock_time

    async def _boot(self, instance: CompShareInstance) -> None:
        try:
            instance.sandbox_machine = await self._context.machines.boot(
                user=instance.wish.image.user,
                password=instance.password,
                hostname=instance.id,
                data=instance.disk_key,
                missing=tuple(self._context.settings.get("missing", "").split()),
                disk_bytes=int(self._context.settings.get("disk_bytes", "0")) or None,
            )
        except RuntimeError as why:
            LOG.warning("%s does not boot: %s", instance.id, why)

    async def _kill(self, instance: CompShareInstance) -> None:
        live, instance.sandbox_machine = instance.sandbox_machine, None
        if live is not None:
            await self._context.machines.kill(live.id)
