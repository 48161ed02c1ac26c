"""The fake vaults and notes fulfil the contracts of the real ones and crash where they are told to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from gpurent.domain.secret import Secret
from gpurent.infra.outside_records import make_outside_records
from gpurent.infra.platform.posix.system import make_private_folder
from gpurent.infra.sqlite.plugin_state import ScopedState
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.infra.vault.access import ScopedVault
from gpurent.infra.vault.file_vault import FileVault
from gpurent.ports.services import PluginState, Vault
from gpurent.testing.contracts.storage import PluginStateContract, VaultContract
from gpurent.testing.fakes import MemoryState, MemoryVault, ProcessKilled


class TestFileVault(VaultContract):
    def make_vault(self, folder: Path) -> Vault:
        records = make_outside_records(folder, {})
        vault = FileVault(make_private_folder(folder / "vault"), lambda _first: None, records)
        return ScopedVault(vault, "plugin")


class TestMemoryVault(VaultContract):
    def make_vault(self, folder: Path) -> Vault:
        return MemoryVault()


class TestScopedState(PluginStateContract):
    @pytest.fixture(autouse=True)
    def _store(self, tmp_path: Path) -> object:
        self.store = SqliteStore(tmp_path / "journal.sqlite", lambda: datetime.now(UTC))
        yield
        self.store.close()

    def make_state(self, folder: Path) -> PluginState:
        return ScopedState(self.store, "plugin")


class TestMemoryState(PluginStateContract):
    def make_state(self, folder: Path) -> PluginState:
        return MemoryState()


@pytest.mark.parametrize(("moment", "left"), [("before", None), ("after", "2")])
async def test_process_dies_at_the_configured_write(
    moment: Literal["before", "after"], left: str | None
) -> None:
    state = MemoryState()
    state.kill_at(2, moment)
    await state.put("first", "1")
    assert state.is_armed()
    with pytest.raises(ProcessKilled):
        await state.put("second", "2")
    assert not state.is_armed()
    assert (await state.get("first"), await state.get("second")) == ("1", left)
    await state.put("third", "3")
    vault = MemoryVault({"key": Secret("x")})
    vault.kill_at(1, "before")
    with pytest.raises(ProcessKilled):
        vault.delete("key")
    assert vault.get("key") == Secret("x")
