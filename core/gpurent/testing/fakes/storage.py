"""A vault and a plugin's state in memory, which can kill the process at a chosen write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, Literal, TypeVar

from attrs import define, field

from gpurent.domain.secret import Secret

V = TypeVar("V", str, Secret)
Moment = Literal["before", "after"]


class ProcessKilled(BaseException):
    """The process ends here. Not an `Exception`, so that no handler catches it."""


@define
class _MemoryRecords(Generic[V]):
    """Values by name. ``records`` is what a later process finds."""

    records: dict[str, V] = field(factory=dict, repr=False)
    _writes_until_kill: int = 0
    _moment: Moment = "before"

    def kill_at(self, write: int, moment: Moment = "before") -> None:
        """Raise `ProcessKilled` before or after the ``write``-th write from now (1: the next; 0: never)."""
        self._writes_until_kill, self._moment = write, moment

    def is_armed(self) -> bool:
        """Whether the write chosen by `kill_at` is still to come."""
        return self._writes_until_kill > 0

    @contextmanager
    def _writing(self) -> Iterator[None]:
        kills_now = self._writes_until_kill == 1
        self._writes_until_kill = max(0, self._writes_until_kill - 1)
        if kills_now and self._moment == "before":
            raise ProcessKilled
        yield
        if kills_now:
            raise ProcessKilled


class MemoryVault(_MemoryRecords[Secret]):
    """A vault in memory; implements `gpurent.ports.services.Vault`.

    Passes `gpurent.testing.contracts.storage.VaultContract`.
    """

    def get(self, name: str) -> Secret | None:
        return self.records.get(name)

    def put(self, name: str, secret: Secret) -> None:
        with self._writing():
            self.records[name] = Secret(secret.reveal())

    def delete(self, name: str) -> None:
        with self._writing():
            self.records.pop(name, None)


class MemoryState(_MemoryRecords[str]):
    """A plugin's state in memory; implements `gpurent.ports.services.PluginState`.

    Passes `contracts.storage.PluginStateContract`.
    """

    async def get(self, name: str) -> str | None:
        return self.records.get(name)

    async def put(self, name: str, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"the note {name!r} must be text, not {type(value).__name__}")
        with self._writing():
            self.records[name] = value
