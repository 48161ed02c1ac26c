"""A connector to fake machines."""

from __future__ import annotations

import hashlib
from pathlib import Path

from attrs import define, field

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, HostKeyChanged, UnavailableError
from gpurent.ports.connection import PrivateKey, Reachability, SshConnection
from gpurent.testing.fakes.connection import FakeConnection
from gpurent.testing.fakes.machine import FakeMachine
from gpurent.testing.fakes.machines import FakeMachines


@define
class FakeConnector:
    """A connector for ``machines``; implements `gpurent.ports.connection.Connector`.

    Files that core wants to write go to ``root``.

    The first login of a lease needs the machine's password or ``own_key``, later ones do not. ``admitted_leases``: the
    leases that have logged in, by the key of the machine's disk.
    """

    machines: FakeMachines
    root: Path
    pins: dict[str, str] = field(factory=dict)
    admitted_leases: dict[str, set[str]] = field(factory=dict)

    async def open_connection(
        self, lease_id: str, endpoint: Endpoint, password: Secret | None, own_key: PrivateKey | None = None
    ) -> FakeConnection:
        machine = self._find_machine(endpoint)
        if machine is None:
            raise UnavailableError(f"{endpoint}: connection refused", retryable=True)
        if await self.pin_host_key(lease_id, endpoint) != _host_key(machine):
            raise HostKeyChanged(f"{endpoint} shows another host key")
        known = self.admitted_leases.setdefault(machine.spec.data, set())
        if lease_id not in known:
            right = password is not None and password.reveal() == machine.spec.password
            if not right and own_key is None:
                raise AuthError(f"{endpoint} refuses the password")
            known.add(lease_id)
        return await machine.connect()

    async def probe_endpoint(self, lease_id: str, endpoint: Endpoint) -> Reachability:
        machine = self._find_machine(endpoint)
        if machine is None:
            return Reachability.REFUSED
        same = self.pins.get(lease_id, _host_key(machine)) == _host_key(machine)
        return Reachability.REACHABLE if same else Reachability.OTHER_MACHINE

    async def pin_host_key(self, lease_id: str, endpoint: Endpoint) -> str:
        machine = self._find_machine(endpoint)
        if machine is None:
            raise UnavailableError(f"{endpoint}: connection refused", retryable=True)
        return self.pins.setdefault(lease_id, _host_key(machine))

    def find_pinned_host_key(self, lease_id: str, endpoint: Endpoint) -> tuple[str, str] | None:
        found = self.pins.get(lease_id)
        return None if found is None else (f"ssh-ed25519 {found}", found)

    def find_ssh_target(self, lease_id: str, endpoint: Endpoint) -> SshConnection | None:
        """Return None: a fake machine has no SSH."""
        return None

    def get_ssh_files(self, lease_id: str) -> tuple[Path, Path]:
        return self.root / lease_id, self.root / f"{lease_id}.hosts"

    def write_known_hosts_alias(self, lease_id: str, name: str, host_key: str) -> Path:
        path = self.root / f"{lease_id}.alias"
        self.root.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} {host_key}\n")
        return path

    def delete_host_key(self, lease_id: str) -> None:
        self.pins.pop(lease_id, None)

    def delete_lease_files(self, lease_id: str) -> None:
        self.pins.pop(lease_id, None)
        for known in self.admitted_leases.values():
            known.discard(lease_id)

    def _find_machine(self, endpoint: Endpoint) -> FakeMachine | None:
        machines = self.machines.alive_machines.values()
        return next((it for it in machines if (it.host, it.port) == (endpoint.host, endpoint.port)), None)


def _host_key(machine: FakeMachine) -> str:
    """Return the machine's host key, the same for every machine on one disk."""
    return hashlib.sha256(machine.spec.data.encode()).hexdigest()[:43]
