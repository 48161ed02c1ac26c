"""A vault and a plugin's notes in memory, which can kill the process at a write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, Literal, TypeVar

from attrs import define, field

from gpurent.domain.secret import Secret

V = TypeVar("V", str, Secret)
Moment = Literal["before", "after"]


class ProcessKilled(BaseException):
    """The process ended here. No `Exception`: nothing in a program survives its own end."""


@define
class _MemoryRecords(Generic[V]):
    """Values by name. ``records`` is what a later process finds."""

    records: dict[str, V] = field(factory=dict, repr=False)
    _writes_until_kill: int = 0
    _moment: Moment = "before"

    def kill_at(self, write: int, moment: Moment = "before") -> None:
        """Raise `ProcessKilled` at that write from now on (1 is the next), before or after it is done. 0: never."""
        self._writes_until_kill, self._moment = write, moment

    def is_armed(self) -> bool:
        """Whether the write named by `kill_at` has yet to come."""
        return self._writes_until_kill > 0

    def get(self, name: str) -> V | None:
        return self.records.get(name)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        deadly = self._writes_until_kill == 1
        self._writes_until_kill = max(0, self._writes_until_kill - 1)
        if deadly and self._moment == "before":
            raise ProcessKilled
        yield
        if deadly:
            raise ProcessKilled


class MemoryVault(_MemoryRecords[Secret]):
    """Implements `gpurent.ports.services.Vault`; held to `gpurent.testing.contracts.storage.VaultContract`."""

    def put(self, name: str, secret: Secret) -> None:
        with self._writing():
            self.records[name] = Secret(secret.reveal())

    def delete(self, name: str) -> None:
        with self._writing():
            self.records.pop(name, None)


class MemoryState(_MemoryRecords[str]):
    """Implements `gpurent.ports.services.PluginState`; held to `contracts.storage.PluginStateContract`."""

    def put(self, name: str, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"the note {name!r} is no text but {type(value).__name__}")
        with self._writing():
            self.records[name] = value
