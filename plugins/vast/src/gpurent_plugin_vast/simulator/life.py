"""What becomes of an instance: created, loading, running, stopped, destroyed; and the machine that it runs on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from fractions import Fraction

from gpurent.api import SandboxMachine, SimulatorContext
from gpurent_plugin_vast.simulator.instances import DISK, GPU, VastInstance
from gpurent_plugin_vast.simulator.market import MarketMachine

LOG = logging.getLogger(__name__)
CREATED_AFTER, LOADING_AFTER = timedelta(seconds=2), timedelta(seconds=4)
RESTARTS_AFTER, STOPS_AFTER = timedelta(seconds=5), timedelta(seconds=2)
CANCEL_FEE = Fraction(5, 100)
WAITING = "Required resources are currently unavailable, state change queued."
OUTBID = "outbid"


class InstanceLife:
    """Changes instances at given moments.

    Assumed: how long each state takes (settings loading_seconds and sshd_seconds: until the image is there, and from
    then until the machine answers). While it stops, the GPUs are still billed.
    """

    def __init__(
        self, context: SimulatorContext, list_instances: Callable[[], Iterable[VastInstance]]
    ) -> None:
        self._context = context
        self._list_instances = list_instances
        settings = context.settings
        self._loading = timedelta(seconds=int(settings.get("loading_seconds", "20")))
        self._until_ssh = timedelta(seconds=int(settings.get("sshd_seconds", "3")))

    def start(self, instance: VastInstance, at: datetime) -> bool:
        """Start it, or queue that if its GPUs are taken, and return whether it starts."""
        instance.intended = "running"
        if not instance.has_gpus and not self._can_start(instance):
            instance.is_queued = True
            instance.set_status("stopped", at, WAITING)
            return False
        is_new, is_running = not instance.has_gpus and instance.status is None, instance.status == "running"
        instance.machine.renter, instance.is_queued = instance.id, False
        if is_running:
            needs_boot = instance.sandbox_machine is None
            instance.steps = [(at + self._until_ssh, "boot")] if needs_boot else []
        elif is_new:
            instance.steps = [(at + CREATED_AFTER, "created"), (at + LOADING_AFTER, "loading")]
            self._add_run(instance, at + max(self._loading, LOADING_AFTER))
        else:
            instance.steps = [(at, "loading")]
            self._add_run(instance, at + RESTARTS_AFTER)
        return True

    def _can_start(self, instance: VastInstance) -> bool:
        enough = not instance.is_bid or instance.gpu_price >= instance.machine.min_bid
        return enough and instance.machine.is_rentable

    def _add_run(self, instance: VastInstance, at: datetime) -> None:
        instance.steps += [(at, "running"), (at + self._until_ssh, "boot")]

    def stop(self, instance: VastInstance, at: datetime) -> None:
        """Stop it soon; no error if it is stopped."""
        instance.intended, instance.is_queued = "stopped", False
        if instance.has_gpus:
            instance.steps = [(at + STOPS_AFTER, "stopped")]

    async def take_step(self, instance: VastInstance, at: datetime, step: str) -> None:
        """Do the next of its steps."""
        if step == "stopped":
            await self.power_off(instance, at)
        elif step == "boot":
            await self._boot(instance, at)
        else:
            instance.set_status(step, at)
            if step == "running":
                instance.started_at, instance.port = at, self._context.machines.find_free_port()
                instance.start_meter(GPU, at)

    async def power_off(
        self, instance: VastInstance, at: datetime, status: str = "stopped", message: str = ""
    ) -> None:
        """Stop it at once: nothing but its storage is billed from ``at`` on, and others may have its GPUs."""
        instance.end_meters(at, GPU)
        await self._kill(instance)
        instance.steps = []
        instance.set_status(status, at, message)
        if instance.has_gpus:
            self.free_gpus(instance.machine, at)

    def free_gpus(self, machine: MarketMachine, at: datetime) -> None:
        """Let the GPUs go to the first instance that waits for them, or to the market."""
        machine.renter = None
        for waiting in self._list_instances():
            if waiting.machine is machine and waiting.is_queued and self._can_start(waiting):
                self.start(waiting, at)
                return

    async def destroy(self, instance: VastInstance, at: datetime) -> None:
        """End it: nothing is billed any more, and its files are gone."""
        instance.destroyed_at = at
        await self.power_off(instance, at)
        instance.is_queued = False
        instance.end_meters(at, DISK)
        if instance.deposit is not None:
            instance.refund = (at, self.compute_refund(instance, at))
        await self._context.machines.delete_disk(instance.disk_key)

    def compute_refund(self, instance: VastInstance, at: datetime) -> int:
        """Return what an early end gives back of a prepayment, in micro-USD.

        The rest, less the discount so far, less 5 % of the rest; all of the rest if the host is not verified any more.
        """
        deposit = instance.deposit
        if deposit is None:
            return 0
        rest = deposit.amount - deposit.compute_used(instance.compute_gpu_cost(at))
        if instance.machine.site.verified and not instance.machine.verified:
            return rest
        return max(0, rest - instance.compute_discount(at) - int(rest * CANCEL_FEE))

    async def reboot(self, instance: VastInstance, at: datetime) -> None:
        """Restart the container in place; it is billed on."""
        await self._kill(instance, keeps_port=True)
        if instance.status == "running":
            instance.steps = [(at + self._until_ssh, "boot")]

    async def set_offline(self, machine: MarketMachine, offline: bool, at: datetime) -> None:
        """Take a host off the network, or bring it back: meanwhile nothing on it is billed."""
        machine.is_offline = offline
        for instance in self._list_instances():
            if instance.machine is not machine:
                continue
            if offline:
                instance.end_meters(at, GPU, DISK)
                await self._kill(instance)
                instance.steps = []
                instance.set_status("offline", at)
            else:
                instance.start_meter(DISK, at)
                if instance.has_gpus and instance.intended == "running":
                    instance.set_status("loading", at)
                    self.start(instance, at)
                else:
                    await self.power_off(instance, at)

    async def check_bids(self, machine: MarketMachine, at: datetime) -> None:
        """Pause what bids too little by now, and let what bids enough start."""
        for instance in self._list_instances():
            if instance.machine is not machine or not instance.has_gpus or not instance.is_bid:
                continue
            if instance.gpu_price < machine.min_bid:
                instance.is_queued = True
                await self.power_off(instance, at, message=OUTBID)
        if machine.is_rentable:
            self.free_gpus(machine, at)

    async def _boot(self, instance: VastInstance, at: datetime) -> None:
        if not instance.wish.has_ssh:
            return
        try:
            instance.sandbox_machine = await self._boot_at(instance, instance.port)
        except OSError:  # somebody took the port meanwhile
            instance.sandbox_machine = await self._boot_at(instance, 0)
        except RuntimeError as why:
            LOG.warning("instance %s does not boot: %s", instance.id, why)
            await self.power_off(instance, at, "exited", "the container did not start")
            return
        instance.port = instance.sandbox_machine.port

    async def _boot_at(self, instance: VastInstance, port: int) -> SandboxMachine:
        return await self._context.machines.boot(
            user="root",
            hostname=f"C.{instance.id}",
            data=instance.disk_key,
            authorized_keys=tuple(key.line for key in instance.keys.values()),
            missing=tuple(self._context.settings.get("missing", "").split()),
            disk_bytes=int(self._context.settings.get("disk_bytes", "0")) or None,
            port=port,
        )

    async def _kill(self, instance: VastInstance, *, keeps_port: bool = False) -> None:
        live, instance.sandbox_machine = instance.sandbox_machine, None
        if not keeps_port:
            instance.port, instance.started_at = 0, None
        if live is not None:
            await self._context.machines.kill(live.id)
