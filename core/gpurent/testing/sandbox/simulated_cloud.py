"""The complete simulated environment in one event loop: a clock, mail, machines, every installed plugin's simulator."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from attrs import define, frozen

from gpurent.infra.platform.posix.system import make_private_folder
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.roles.entries import SimulatorEntry
from gpurent.roles.simulator import ProviderSimulator, SimulatorLedgerEntry, SupportsManualRental
from gpurent.testing.sandbox.clock import SandboxClock
from gpurent.testing.sandbox.machine_levers import MachineLevers
from gpurent.testing.sandbox.machines.driver_selection import select_driver
from gpurent.testing.sandbox.machines.model import BootedMachine, DriverName, MachineDriver, MachineSpec
from gpurent.testing.sandbox.mail_server import ADDRESS, MailServer
from gpurent.testing.sandbox.service_faults import ServiceFaults
from gpurent.testing.sandbox.simulators import RunningSimulators
from gpurent.workflow.runtime.settings import environment_variable_name

TICK_SECONDS = 0.2


@frozen
class _DriverMachines:
    """The machines as simulators see them, all from one driver."""

    driver: MachineDriver

    async def boot(
        self,
        *,
        user: str,
        password: str,
        hostname: str,
        data: str,
        python: Literal["python3", "python2"] = "python3",
        stop_scripts: tuple[str, ...] = (),
        missing: tuple[str, ...] = (),
        disk_bytes: int | None = None,
        on_stop: Callable[[str], Awaitable[None]] | None = None,
    ) -> BootedMachine:
        spec = MachineSpec(
            user=user,
            password=password,
            hostname=hostname,
            data=data,
            python=python,
            stop_scripts=stop_scripts,
            missing=missing,
            disk_bytes=disk_bytes,
        )
        return await self.driver.boot(spec, on_stop)

    async def kill(self, machine_id: str) -> None:
        await self.driver.kill(machine_id)

    async def delete_disk(self, data: str) -> None:
        await self.driver.delete_disk(data)


@define(kw_only=True)
class SandboxOptions:
    """Options of a sandbox.

    ``settings`` go to the simulators by ``simulator.key``; ``link_farms`` as in `select_driver`.
    """

    speed: int = 1
    machines: int = 4
    driver: DriverName = "auto"
    settings: dict[str, str]
    link_farms: Path | None = None


class SimulatedCloud:
    """A sandbox, started by `start`, ended by `close`.

    `environment` returns the variables that a client needs to use it.
    """

    def __init__(self, root: Path, registry: EntryPointRegistry, options: SandboxOptions) -> None:
        self.root = make_private_folder(root)
        self.options = options
        self.registry = registry
        self.clock = SandboxClock(root / "clock.json", options.speed)
        self.faults = ServiceFaults()
        self.mail = MailServer(self.faults)
        self.driver: MachineDriver
        self.simulators: RunningSimulators
        self._ticker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.clock.start()
        await self.mail.start()
        self.driver = await select_driver(
            self.options.driver, make_private_folder(self.root / "machines"), self.options.link_farms
        )
        self.simulators = RunningSimulators(
            entries=self.registry.get_entries(SimulatorEntry),
            clock=self.clock,
            machines=_DriverMachines(self.driver),
            send_mail=self._send_mail,
            machine_count=self.options.machines,
            settings=self.options.settings,
            faults=self.faults,
        )
        await self.simulators.start()
        self._ticker = asyncio.create_task(self._tick_forever())

    async def close(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        await self.simulators.close()
        await self.driver.close()
        await self.mail.close()

    async def _send_mail(self, *, to: str, sender: str, subject: str, text: str) -> None:
        await self.mail.deliver(to=to, sender=sender, subject=subject, text=text, at=self.clock.now())

    async def _tick_forever(self) -> None:
        while True:
            await self.tick()
            await asyncio.sleep(TICK_SECONDS)

    @property
    def simulators_by_name(self) -> Mapping[str, ProviderSimulator]:
        return self.simulators.simulators

    @property
    def urls(self) -> Mapping[str, str]:
        return self.simulators.urls

    async def tick(self) -> None:
        await self.simulators.tick()

    async def advance(self, span: timedelta) -> None:
        """Jump ahead; every simulator catches up at once."""
        self.clock.advance(span)
        await self.tick()

    def ledgers(self) -> Mapping[str, Sequence[SimulatorLedgerEntry]]:
        return self.simulators.ledgers()

    def burning(self) -> Sequence[str]:
        return self.simulators.burning()

    def get_manual_rental(self, simulator: str) -> SupportsManualRental:
        return self.simulators.get_manual_rental(simulator)

    @property
    def machine_levers(self) -> MachineLevers:
        return MachineLevers(self.driver)

    async def cut_connections(self) -> int:
        """Cut every SSH connection at once and return how many there were."""
        return sum([await self.driver.cut_connections(machine.id) for machine in self.driver.list_machines()])

    def environment(self, home: Path, address: str = ADDRESS) -> Mapping[str, str]:
        """Return variables that make ``gpurent`` use this sandbox, with state in ``home`` and mail at ``address``."""
        found = {
            "GPURENT_HOME": str(home),
            "GPURENT_CLOCK": f"file:{self.clock.client_path}",
            "GPURENT_STATE_HOME": str(home.with_name(f"{home.name}-copies")),
            "GPURENT_MAIL_ADDRESS": address,
            environment_variable_name("imap", "host"): self.mail.host,
            environment_variable_name("imap", "port"): str(self.mail.port),
            environment_variable_name("imap", "user"): address,
            environment_variable_name("imap", "password"): self.mail.get_password(address),
            environment_variable_name("imap", "tls"): "no",
        }
        for section, settings in self.simulators.client_settings().items():
            found |= {environment_variable_name(section, key): value for key, value in settings.items()}
        return found

    def status(self) -> dict[str, Any]:
        """Return everything that ``gpurent sandbox status`` shows, as plain data."""
        return {
            "now": self.clock.now().isoformat(),
            "client_clock_error": self.clock.client_error // timedelta(seconds=1),
            "fault_count": len(self.faults.list()),
            "speed": self.options.speed,
            "driver": self.driver.name,
            "driver_reason": self.driver.fallback_reason,
            "urls": dict(self.urls),
            "billed_machines": list(self.burning()),
            "machines": [
                {"id": machine.id, "hostname": machine.spec.hostname, "port": machine.port}
                for machine in self.driver.list_machines()
            ],
            "ledgers": {
                name: [ledger_entry_json(entry) for entry in rows] for name, rows in self.ledgers().items()
            },
            "routes": {
                name: [
                    {"method": r.method, "path": r.path, "evidence": r.evidence.value, "note": r.note}
                    for r in simulator.list_routes()
                ]
                for name, simulator in self.simulators.simulators.items()
            },
        }


def ledger_entry_json(entry: SimulatorLedgerEntry) -> dict[str, str | int]:
    """Return one entry of a simulator's ledger as JSON; amounts in whole minor units."""
    return {
        "at": entry.at.isoformat(),
        "account": entry.account,
        "kind": entry.kind,
        "minor": entry.amount.amount,
        "amount": str(entry.amount.decimal),
        "currency": entry.amount.currency.code,
        "ref": entry.ref,
    }


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1), "utf-8")
