"""The whole rental world in one event loop: a clock, a post office, machines, and every installed plugin's portal."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from attrs import define, frozen

from gpurent.errors import UsageError
from gpurent.infra.config.settings import variable
from gpurent.infra.platform.posix.files import private_folder
from gpurent.infra.registry.registry import Registry
from gpurent.roles.simulator import (
    ProviderSimulator,
    SimulatorContext,
    SimulatorLedgerEntry,
    SupportsManualRental,
)
from gpurent.testing.sandbox.machines.drivers import pick_driver
from gpurent.testing.sandbox.machines.model import DriverName, Machine, MachineDriver, MachineSpec
from gpurent.testing.sandbox.mail import ADDRESS, MailServer
from gpurent.testing.sandbox.timing import SandboxClock
from gpurent.testing.sandbox.web import WebServer

TICK = 0.2


@frozen
class _Park:
    """The machines as portals see them: one driver for all."""

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
    ) -> Machine:
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

    async def erase(self, data: str) -> None:
        await self.driver.erase(data)


@define(kw_only=True)
class Options:
    """How the world is: ``settings`` go to the portals by ``portal.key``.

    ``machine`` changes every machine that boots.
    """

    speed: int = 1
    machines: int = 4
    driver: DriverName = "auto"
    settings: dict[str, str]


class Cloud:
    """Raised by `start`, ended by `close`. ``environment`` is what a client needs to live in it."""

    def __init__(self, root: Path, registry: Registry, options: Options) -> None:
        self.root = private_folder(root)
        self.options = options
        self.registry = registry
        self.clock = SandboxClock(root / "clock.json", options.speed)
        self.mail = MailServer()
        self.driver: MachineDriver
        self.portals: dict[str, ProviderSimulator] = {}
        self.urls: dict[str, str] = {}
        self._servers: list[WebServer] = []
        self._ticker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.clock.start()
        await self.mail.start()
        self.driver = await pick_driver(self.options.driver, private_folder(self.root / "machines"))
        for name, entry in sorted(self.registry.simulator.items()):
            prefix = f"{name}."
            settings = {
                key.removeprefix(prefix): value
                for key, value in self.options.settings.items()
                if key.startswith(prefix)
            }
            site = SimulatorContext(
                clock=self.clock,
                machines=_Park(self.driver),
                send_mail=self._send,
                urls=self.urls,
                machine_count=self.options.machines,
                settings=settings,
            )
            self.portals[name] = entry.build(site)
            server = WebServer(self.portals[name].app())
            self.urls[name] = server.url
            self._servers.append(server)
        for server in self._servers:
            await server.start()
        self._ticker = asyncio.create_task(self._tick())

    async def close(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        for server in self._servers:
            await server.close()
        await self.driver.close()
        await self.mail.close()

    async def _send(self, *, to: str, sender: str, subject: str, text: str) -> None:
        await self.mail.deliver(to=to, sender=sender, subject=subject, text=text, at=self.clock.now())

    async def _tick(self) -> None:
        while True:
            await self.tick()
            await asyncio.sleep(TICK)

    async def tick(self) -> None:
        for portal in self.portals.values():
            await portal.tick()

    async def advance(self, span: timedelta) -> None:
        """Jump ahead: every portal lives through the time at once."""
        self.clock.advance(span)
        await self.tick()

    def ledgers(self) -> Mapping[str, Sequence[SimulatorLedgerEntry]]:
        return {name: tuple(portal.ledger()) for name, portal in self.portals.items()}

    def burning(self) -> Sequence[str]:
        return [f"{name}:{ref}" for name, portal in self.portals.items() for ref in portal.burning()]

    def hand(self, portal: str) -> SupportsManualRental:
        """The portal as a person before its pages sees it."""
        found: object = self.portals.get(portal)
        if not isinstance(found, SupportsManualRental):
            raise UsageError(f"nobody rents by hand at {portal!r} here")
        return found

    async def cut(self) -> int:
        """Drop every SSH line at once."""
        return sum([await self.driver.cut(machine.id) for machine in self.driver.machines()])

    def environment(self, home: Path) -> Mapping[str, str]:
        """Variables that make ``gpurent`` live in this world, with its state under ``home``."""
        found = {
            "GPURENT_HOME": str(home),
            "GPURENT_CLOCK": f"file:{self.clock.path}",
            "GPURENT_MAIL_ADDRESS": ADDRESS,
            variable("imap", "host"): self.mail.host,
            variable("imap", "port"): str(self.mail.port),
            variable("imap", "user"): ADDRESS,
            variable("imap", "password"): self.mail.password_of(ADDRESS),
            variable("imap", "tls"): "no",
        }
        for name, portal in self.portals.items():
            for key, value in portal.environment(self.urls[name]).items():
                found[variable(name, key)] = value
        return found

    def status(self) -> dict[str, Any]:
        """Everything that ``gpurent sandbox status`` shows, as plain data."""
        return {
            "now": self.clock.now().isoformat(),
            "speed": self.options.speed,
            "driver": self.driver.name,
            "driver_why": getattr(self.driver, "why", ""),
            "urls": dict(self.urls),
            "burning": list(self.burning()),
            "machines": [
                {"id": machine.id, "hostname": machine.spec.hostname, "port": machine.port}
                for machine in self.driver.machines()
            ],
            "ledgers": {name: [entry_data(entry) for entry in rows] for name, rows in self.ledgers().items()},
            "routes": {
                name: [
                    {"method": r.method, "path": r.path, "evidence": r.evidence.value, "note": r.note}
                    for r in portal.routes()
                ]
                for name, portal in self.portals.items()
            },
        }


def entry_data(entry: SimulatorLedgerEntry) -> dict[str, str | int]:
    """One line of a portal's ledger as JSON; amounts as whole minor units."""
    return {
        "at": entry.at.isoformat(),
        "account": entry.account,
        "kind": entry.kind,
        "minor": entry.amount.amount,
        "amount": str(entry.amount.decimal),
        "currency": entry.amount.currency.code,
        "ref": entry.ref,
    }


def dump(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1), "utf-8")
