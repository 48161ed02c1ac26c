"""What becomes of a pod: provisioning, starting, running, exited, terminated; and the machine that it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from gpurent.api import SandboxMachine, SimulatorContext
from gpurent_plugin_runpod.simulator.pods import RunpodPod
from gpurent_plugin_runpod.simulator.problem import NO_FREE_GPUS, Problem

LOG = logging.getLogger(__name__)
STARTS_AFTER, RESTARTS_AFTER = timedelta(seconds=4), timedelta(seconds=6)


class PodLife:
    """Changes pods at given moments.

    A pod is RUNNING before its SSH port is mapped, and the port is mapped before a server answers there. Assumed: how
    long each takes (settings loading_seconds, mapping_seconds and sshd_seconds).
    """

    def __init__(self, context: SimulatorContext, book: Callable[[RunpodPod], None]) -> None:
        self._context, self._book = context, book
        self._loading, self._mapping, self._until_ssh = (
            timedelta(seconds=int(context.settings.get(name, default)))
            for name, default in (("loading_seconds", "20"), ("mapping_seconds", "5"), ("sshd_seconds", "3"))
        )

    def begin(self, pod: RunpodPod, at: datetime) -> None:
        self._change(pod, "PROVISIONING", at)
        pod.steps = [(at + STARTS_AFTER, "STARTING")]
        self._add_run(pod, at + max(self._loading, STARTS_AFTER))

    def _add_run(self, pod: RunpodPod, at: datetime) -> None:
        pod.steps += [
            (at, "RUNNING"),
            (at + self._mapping, "map"),
            (at + self._mapping + self._until_ssh, "boot"),
        ]

    def _change(self, pod: RunpodPod, status: str, at: datetime) -> None:
        self._book(pod)
        pod.set_status(status, at)

    async def take_step(self, pod: RunpodPod, at: datetime) -> None:
        """Do the next of its steps."""
        _due, step = pod.steps.pop(0)
        if step == "map":
            pod.port = self._context.machines.find_free_port()
        elif step == "boot":
            await self._boot(pod, at)
        else:
            self._change(pod, step, at)
            if step == "RUNNING":
                pod.started_at = at

    async def stop(self, pod: RunpodPod, at: datetime) -> None:
        """Stop it: its own disk is wiped, what it keeps is billed, and others may have its GPUs."""
        self._change(pod, "EXITED", at)
        pod.steps, pod.started_at = [], None
        if pod.host is not None:
            pod.host.tenants.pop(pod.id, None)
        await self._kill(pod)

    def start(self, pod: RunpodPod, at: datetime) -> None:
        """Start it on the host that it is pinned to. Raises `Problem` if others have the GPUs there."""
        if pod.host is not None and pod.host.free < pod.wish.count:
            raise Problem(400, NO_FREE_GPUS)
        if pod.host is not None:
            pod.host.tenants[pod.id] = pod.wish.count
        self._change(pod, "STARTING", at)
        pod.steps = []
        self._add_run(pod, at + RESTARTS_AFTER)

    async def restart(self, pod: RunpodPod, at: datetime) -> None:
        """Restart the container in place; it is billed on."""
        await self._kill(pod)
        self._change(pod, "STARTING", at)
        pod.steps = []
        self._add_run(pod, at + RESTARTS_AFTER)

    async def terminate(self, pod: RunpodPod, at: datetime) -> None:
        """End it: nothing is billed any more, and its files are gone, except those on a network volume."""
        await self.stop(pod, at)
        self._change(pod, "TERMINATED", at)
        pod.terminated_at = at
        if not pod.wish.volume:
            await self._context.machines.delete_disk(pod.disk_key)

    async def fail(self, pod: RunpodPod, at: datetime) -> None:
        """Let its container end in an error."""
        await self.stop(pod, at)
        self._change(pod, "ERROR", at)

    async def _boot(self, pod: RunpodPod, at: datetime) -> None:
        if not pod.authorized_keys or not pod.is_mapped:
            return  # no server is started for no key
        try:
            pod.machine = await self._boot_at(pod, pod.port)
        except OSError:  # somebody took the port meanwhile
            pod.machine = await self._boot_at(pod, 0)
        except RuntimeError as why:
            LOG.warning("pod %s does not boot: %s", pod.id, why)
            await self.fail(pod, at)
            return
        pod.port = pod.machine.port

    async def _boot_at(self, pod: RunpodPod, port: int) -> SandboxMachine:
        return await self._context.machines.boot(
            user="root",
            hostname=pod.id,
            data=pod.disk_key,
            authorized_keys=pod.authorized_keys,
            missing=tuple(self._context.settings.get("missing", "").split()),
            disk_bytes=int(self._context.settings.get("disk_bytes", "0")) or None,
            port=port,
        )

    async def _kill(self, pod: RunpodPod) -> None:
        live, pod.machine, pod.port = pod.machine, None, 0
        if live is not None:
            await self._context.machines.kill(live.id)
