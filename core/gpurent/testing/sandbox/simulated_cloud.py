"""The complete simulated environment in one event loop: a clock, mail, machines, every installed plugin's simulator."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from attrs import define, evolve, frozen

from gpurent.infra.platform.system import make_private_folder
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.infra.sandbox_handle import HANDLE_FILE, MAIL_SERVICE_NAME, SANDBOX_VARIABLE, SandboxHandle
from gpurent.roles.entries import SimulatorEntry
from gpurent.roles.simulator import ProviderSimulator, SimulatorLedgerEntry, SupportsManualRental
from gpurent.testing.sandbox.clock import SandboxClock
from gpurent.testing.sandbox.local_ports import find_free_port
from gpurent.testing.sandbox.machine_levers import MachineLevers
from gpurent.testing.sandbox.machines.driver_selection import select_driver
from gpurent.testing.sandbox.machines.model import BootedMachine, DriverName, MachineDriver, MachineSpec
from gpurent.testing.sandbox.mail_server import ADDRESS, AUTHSERV_ID, MailServer
from gpurent.testing.sandbox.peers import check_peers_are_known
from gpurent.testing.sandbox.proof_server import ProofServer
from gpurent.testing.sandbox.service_faults import ServiceFaults
from gpurent.testing.sandbox.simulators import RunningSimulators
from gpurent.testing.sandbox.stated_routes import add_evidence, route_json
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
        password: str = "",
        hostname: str,
        data: str,
        authorized_keys: tuple[str, ...] = (),
        port: int = 0,
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
            authorized_keys=authorized_keys,
            port=port,
        )
        return await self.driver.boot(spec, on_stop)

    def find_free_port(self) -> int:
        return find_free_port()

    async def add_authorized_key(self, machine_id: str, line: str) -> None:
        await self.driver.add_authorized_key(machine_id, line)

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
        self.handle_path = self.root.absolute() / HANDLE_FILE
        self.handle: SandboxHandle
        self._proofs = ProofServer(self._make_proof)
        self._ticker: asyncio.Task[None] | None = None
        self._stack = contextlib.AsyncExitStack()

    async def start(self, control_url: str = "", token: str = "") -> None:
        """Start everything, then write the handle. ``control_url`` and ``token``: of its control API, if it has one."""
        check_peers_are_known()
        self.clock.start()
        self._stack.push_async_callback(self._proofs.close)
        self._stack.push_async_callback(self.mail.close)
        await self.mail.start()
        self.driver = await select_driver(
            self.options.driver, make_private_folder(self.root / "machines"), self.options.link_farms
        )
        self._stack.push_async_callback(self.driver.close)
        self.simulators = RunningSimulators(
            entries=self.registry.get_entries(SimulatorEntry),
            clock=self.clock,
            machines=_DriverMachines(self.driver),
            send_mail=self._send_mail,
            machine_count=self.options.machines,
            settings=self.options.settings,
            faults=self.faults,
        )
        self._stack.push_async_callback(self.simulators.close)
        await self.simulators.start()
        await self._proofs.start()
        self.handle = self._make_handle(control_url, token)
        self.handle.write(self.handle_path)
        self._ticker = asyncio.create_task(self._tick_forever())

    def _make_handle(self, control_url: str, token: str) -> SandboxHandle:
        mail = f"imap://{self.mail.host}:{self.mail.port}"
        return SandboxHandle(
            pid=os.getpid(),
            proof_port=self._proofs.port,
            secret=secrets.token_hex(32),
            services={**self.urls, MAIL_SERVICE_NAME: mail},
            logins=self.simulators.login_fields(),
            control_url=control_url,
            token=token,
        )

    def _make_proof(self, challenge: str) -> str:
        return self.handle.make_proof(challenge)

    def announce_service(self, name: str, url: str) -> None:
        """Let the handle list ``url`` for the service ``name``, as for a proxy that was put before it."""
        self.handle = evolve(self.handle, services={**self.handle.services, name: url})
        self.handle.write(self.handle_path)

    async def close(self) -> None:
        """Stop what was started, also after a start that failed half-way."""
        self.handle_path.unlink(missing_ok=True)
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        await self._stack.aclose()

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

    def list_calls(self) -> list[dict[str, Any]]:
        """Return the last calls as plain data, each with how its route is known."""
        return add_evidence(self.simulators.simulators, self.faults.calls)

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
            SANDBOX_VARIABLE: str(self.handle_path),
            "GPURENT_CLOCK": f"file:{self.clock.client_path}",
            "GPURENT_STATE_HOME": str(home.with_name(f"{home.name}-copies")),
            "GPURENT_MAIL_ADDRESS": address,
            environment_variable_name("imap", "host"): self.mail.host,
            environment_variable_name("imap", "port"): str(self.mail.port),
            environment_variable_name("imap", "user"): address,
            environment_variable_name("imap", "password"): self.mail.get_password(address),
            environment_variable_name("imap", "tls"): "no",
            environment_variable_name("imap", "authserv_id"): AUTHSERV_ID,
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
            "mail_check": self.mail.check.value,
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
                name: [route_json(route) for route in simulator.list_routes()]
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
