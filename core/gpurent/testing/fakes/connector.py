"""A connector to fake machines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from attrs import define, field

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, HostKeyChanged, UnavailableError
from gpurent.ports.connection import HostKey, HostKeyPin, PrivateKey, Reachability, SshConnection
from gpurent.testing.fakes.connection import FakeConnection
from gpurent.testing.fakes.machine import FakeMachine
from gpurent.testing.fakes.machines import FakeMachines


@define
class FakeConnector:
    """A connector for ``machines``; implements `gpurent.ports.connection.Connector`.

    Files that core wants to write go to ``root``. All machines are on this computer.

    The first login of a lease needs the machine's password or ``own_key``, later ones do not. ``admitted_leases``: the
    leases that have logged in, by the key of the machine's disk. ``pins``: the current fingerprints by lease and place.
    """

    machines: FakeMachines
    root: Path
    pins: dict[str, dict[str, str]] = field(factory=dict)
    former_pins: dict[str, list[tuple[str, str]]] = field(factory=dict)
    admitted_leases: dict[str, set[str]] = field(factory=dict)

    async def resolve_host(self, endpoint: Endpoint) -> Sequence[str]:
        return ("127.0.0.1",)

    async def fetch_host_key(self, endpoint: Endpoint, addresses: Sequence[str]) -> HostKey:
        return _make_host_key(_get_fingerprint(self._get_machine(endpoint)))

    async def open_connection(
        self,
        lease_id: str,
        endpoint: Endpoint,
        password: Secret | None,
        own_key: PrivateKey | None = None,
        *,
        addresses: Sequence[str] = (),
    ) -> FakeConnection:
        machine = self._get_machine(endpoint)
        if self.pins.get(lease_id, {}).get(_get_place(endpoint)) != _get_fingerprint(machine):
            raise HostKeyChanged(f"{endpoint} shows another host key")
        known = self.admitted_leases.setdefault(machine.spec.data, set())
        if lease_id not in known:
            right = password is not None and password.reveal() == machine.spec.password
            right = right or self.get_public_key(lease_id) in machine.spec.authorized_keys
            if not right and own_key is None:
                raise AuthError(f"{endpoint} refuses the password")
            known.add(lease_id)
        return await machine.connect()

    async def check_password(
        self, endpoint: Endpoint, key: HostKey, password: Secret, addresses: Sequence[str]
    ) -> None:
        machine = self._get_machine(endpoint)
        if _get_fingerprint(machine) != key.fingerprint:
            raise HostKeyChanged(f"{endpoint} shows another host key")
        if password.reveal() != machine.spec.password:
            raise AuthError(f"{endpoint} refuses the password")

    async def probe_endpoint(self, lease_id: str, endpoint: Endpoint) -> Reachability:
        machine = self._find_machine(endpoint)
        if machine is None:
            return Reachability.REFUSED
        shown = _get_fingerprint(machine)
        same = self.pins.get(lease_id, {}).get(_get_place(endpoint), shown) == shown
        return Reachability.REACHABLE if same else Reachability.OTHER_MACHINE

    def pin_host_key(self, lease_id: str, endpoint: Endpoint, key: HostKey) -> None:
        pins, place = self.pins.setdefault(lease_id, {}), _get_place(endpoint)
        if place in pins and pins[place] != key.fingerprint:
            self.former_pins.setdefault(lease_id, []).append((place, pins[place]))
        pins[place] = key.fingerprint

    def find_pinned_host_key(self, lease_id: str, endpoint: Endpoint) -> HostKey | None:
        found = self.pins.get(lease_id, {}).get(_get_place(endpoint))
        return None if found is None else _make_host_key(found)

    def list_host_keys(self, lease_id: str) -> Sequence[HostKeyPin]:
        former, current = self.former_pins.get(lease_id, []), self.pins.get(lease_id, {})
        return [
            HostKeyPin(place=place, key=_make_host_key(fingerprint), is_current=is_current)
            for is_current, pins in ((False, former), (True, list(current.items())))
            for place, fingerprint in pins
        ]

    def retire_host_keys(self, lease_id: str) -> None:
        self.former_pins.setdefault(lease_id, []).extend(self.pins.pop(lease_id, {}).items())

    def unpin_host_key(self, lease_id: str, endpoint: Endpoint) -> None:
        self.pins.get(lease_id, {}).pop(_get_place(endpoint), None)

    def find_ssh_target(self, lease_id: str, endpoint: Endpoint) -> SshConnection | None:
        """Return None: a fake machine has no SSH."""
        return None

    def get_public_key(self, lease_id: str) -> str:
        return f"ssh-ed25519 {lease_id} fake"

    def get_ssh_files(self, lease_id: str) -> tuple[Path, Path]:
        return self.root / lease_id, self.root / f"{lease_id}.hosts"

    def write_known_hosts_alias(self, lease_id: str, name: str, host_key: str) -> Path:
        path = self.root / f"{lease_id}.alias"
        self.root.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} {host_key}\n")
        return path

    def delete_lease_files(self, lease_id: str) -> None:
        self.pins.pop(lease_id, None)
        for known in self.admitted_leases.values():
            known.discard(lease_id)

    def _get_machine(self, endpoint: Endpoint) -> FakeMachine:
        machine = self._find_machine(endpoint)
        if machine is None:
            raise UnavailableError(f"{endpoint}: connection refused", retryable=True)
        return machine

    def _find_machine(self, endpoint: Endpoint) -> FakeMachine | None:
        machines = self.machines.alive_machines.values()
        return next((it for it in machines if (it.host, it.port) == (endpoint.host, endpoint.port)), None)


def _get_place(endpoint: Endpoint) -> str:
    return f"{endpoint.host}:{endpoint.port}"


def _get_fingerprint(machine: FakeMachine) -> str:
    """Return the fingerprint of the machine's host key, the same for every machine on one disk."""
    return hashlib.sha256(machine.spec.data.encode()).hexdigest()[:43]


def _make_host_key(fingerprint: str) -> HostKey:
    return HostKey(line=f"ssh-ed25519 {fingerprint}", fingerprint=fingerprint)
