"""The simulators of one sandbox, each on its own web server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeVar

from attrs import define, field

from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.ports.system import Clock
from gpurent.roles.entries import SimulatorEntry
from gpurent.roles.simulator import (
    ProviderSimulator,
    SandboxMachines,
    SendMail,
    SimulatorContext,
    SimulatorLedgerEntry,
    SupportsManualRental,
    SupportsSignUp,
)
from gpurent.testing.sandbox.service_faults import ServiceFaults
from gpurent.testing.sandbox.service_faults.http_gate import HttpFaultGate
from gpurent.testing.sandbox.web_server import WebServer

S = TypeVar("S")


@define(kw_only=True)
class RunningSimulators:
    """Simulators, built at once and served between `start` and `close`. ``settings`` go to each as ``simulator.key``.

    ``keep_alive``: seconds that an idle connection stays open.
    """

    entries: Mapping[str, SimulatorEntry]
    clock: Clock
    machines: SandboxMachines
    send_mail: SendMail
    machine_count: int = 4
    settings: Mapping[str, str] = field(factory=dict)
    keep_alive: int = 5
    urls: dict[str, str] = field(factory=dict)
    simulators: dict[str, ProviderSimulator] = field(factory=dict)
    faults: ServiceFaults = field(factory=ServiceFaults)
    _servers: list[WebServer] = field(factory=list)
    _accounts: dict[tuple[str, str], Mapping[str, str]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for name, entry in sorted(self.entries.items()):
            self.simulators[name] = entry.build(
                SimulatorContext(
                    clock=self.clock,
                    machines=self.machines,
                    send_mail=self.send_mail,
                    urls=self.urls,
                    machine_count=self.machine_count,
                    settings=self._get_settings(name),
                )
            )

    def _get_settings(self, name: str) -> dict[str, str]:
        prefix = f"{name}."
        return {
            key.removeprefix(prefix): value for key, value in self.settings.items() if key.startswith(prefix)
        }

    async def start(self) -> None:
        for name, simulator in self.simulators.items():
            gate = HttpFaultGate(simulator.get_app(), name, self.faults, self.clock)
            server = WebServer(gate, keep_alive=self.keep_alive)
            self.faults.register_service(name, server.set_refusing)
            self.urls[name] = server.url
            self._servers.append(server)
        await asyncio.gather(*(server.start() for server in self._servers))

    async def close(self) -> None:
        await self.faults.clear()  # ends the calls that are held
        await asyncio.gather(*(server.close() for server in self._servers))

    def get_simulator(self, name: str, kind: type[S]) -> S:
        """Return the simulator of that name, which must be a ``kind``, so that a test can inspect its internals."""
        found = self.simulators.get(name)
        if found is None or not isinstance(found, kind):
            raise UsageError(f"the simulator {name!r} is no {kind.__name__} but {type(found).__name__}")
        return found

    def get_manual_rental(self, name: str) -> SupportsManualRental:
        """Return the simulator of that name for manual rental, as a person uses its pages."""
        found: object = self.simulators.get(name)
        if not isinstance(found, SupportsManualRental):
            raise UsageError(_("simulator {name!r} does not support manual rental").format(name=name))
        return found

    async def tick(self) -> None:
        """Let every simulator catch up with the clock."""
        for simulator in self.simulators.values():
            await simulator.tick()

    def ledgers(self) -> Mapping[str, Sequence[SimulatorLedgerEntry]]:
        return {name: tuple(simulator.list_ledger_entries()) for name, simulator in self.simulators.items()}

    def burning(self) -> Sequence[str]:
        """Return what costs money now, as ``simulator:reference``."""
        return [
            f"{name}:{ref}"
            for name, simulator in self.simulators.items()
            for ref in simulator.list_billed_machines()
        ]

    def login_fields(self) -> dict[str, dict[str, str]]:
        """Return what a user enters at the login, by provider, of those where there is something to enter."""
        found = {name: dict(simulator.make_login_fields()) for name, simulator in self.simulators.items()}
        return {name: fields for name, fields in found.items() if fields}

    async def open_account(self, provider: str, label: str) -> Mapping[str, str]:
        """Return what a user enters at the login to the account ``label``, which is opened when it is first asked for.

        Empty if there is nothing to enter: a wallet gets its key at the login.
        """
        simulator: object = self.simulators.get(provider)
        key = (provider, label)
        if isinstance(simulator, SupportsSignUp):
            if key not in self._accounts:
                self._accounts[key] = await simulator.sign_up()
            return self._accounts[key]
        if provider in self.login_fields():
            raise UsageError(_("the simulator {name} has only one account").format(name=provider))
        return {}

    def client_settings(self) -> dict[str, dict[str, str]]:
        """Return the plugins' settings, by section, that point to these simulators."""
        return {
            name: dict(simulator.make_plugin_settings(self.urls[name]))
            for name, simulator in self.simulators.items()
        }
