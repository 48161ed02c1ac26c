"""Contract tests for a plugin's vault and state, for the real implementations and those in memory.

A test is a subclass that implements the factory method::

    class TestMemoryVault(VaultContract):
        def make_vault(self, folder):
            return MemoryVault()
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import pytest

from gpurent.domain.secret import Secret
from gpurent.ports.services import PluginState, Vault
from gpurent.testing.contracts.contract import Contract

ODD_TEXTS = ["plain", "", "一行\nand another", "\0 and \udcff", "x" * 100_000]
RECORD_NAMES = ["key", "bill/trip-1", "../key", "", "密钥"]


class VaultContract(Contract):
    """Contract tests for a vault: secrets by name."""

    @abstractmethod
    def make_vault(self, folder: Path) -> Vault:
        """Return an empty vault; ``folder`` is the test's own."""

    def test_a_name_that_was_never_put_is_none(self, tmp_path: Path) -> None:
        assert self.make_vault(tmp_path).get("key") is None

    @pytest.mark.parametrize("text", ODD_TEXTS, ids=["plain", "empty", "lines", "odd", "long"])
    def test_what_was_put_comes_back(self, tmp_path: Path, text: str) -> None:
        vault = self.make_vault(tmp_path)
        vault.put("key", Secret(text))
        found = vault.get("key")
        assert isinstance(found, Secret)
        assert found.reveal() == text

    @pytest.mark.parametrize("name", RECORD_NAMES)
    def test_any_text_is_a_name(self, tmp_path: Path, name: str) -> None:
        vault = self.make_vault(tmp_path)
        vault.put("other", Secret("other"))
        vault.put(name, Secret("mine"))
        assert vault.get(name) == Secret("mine")
        assert vault.get("other") == Secret("other")

    def test_the_last_one_put_counts_until_it_is_deleted(self, tmp_path: Path) -> None:
        vault = self.make_vault(tmp_path)
        vault.put("key", Secret("first"))
        vault.put("key", Secret("second"))
        assert vault.get("key") == Secret("second")
        vault.delete("key")
        assert vault.get("key") is None

    def test_deleting_what_is_not_there_is_silent(self, tmp_path: Path) -> None:
        vault = self.make_vault(tmp_path)
        vault.delete("key")
        vault.put("key", Secret("x"))
        vault.delete("key")
        vault.delete("key")

    def test_it_shows_no_secret(self, tmp_path: Path) -> None:
        vault = self.make_vault(tmp_path)
        vault.put("key", Secret("canary-7f3a"))
        assert "canary" not in f"{vault!r} {vault}"


class PluginStateContract(Contract):
    """Contract tests for a plugin's state: values by name."""

    @abstractmethod
    def make_state(self, folder: Path) -> PluginState:
        """Return an empty state; ``folder`` is the test's own."""

    async def test_a_name_that_was_never_put_is_none(self, tmp_path: Path) -> None:
        assert await self.make_state(tmp_path).get("bill") is None

    @pytest.mark.parametrize(
        "text", ["plain", "", "一行\nand another", "x" * 100_000], ids=["plain", "empty", "lines", "long"]
    )
    async def test_what_was_put_comes_back(self, tmp_path: Path, text: str) -> None:
        state = self.make_state(tmp_path)
        await state.put("bill", text)
        assert await state.get("bill") == text

    @pytest.mark.parametrize("name", RECORD_NAMES)
    async def test_any_text_is_a_name(self, tmp_path: Path, name: str) -> None:
        state = self.make_state(tmp_path)
        await state.put("other", "other")
        await state.put(name, "mine")
        assert (await state.get(name), await state.get("other")) == ("mine", "other")

    async def test_the_last_one_put_counts(self, tmp_path: Path) -> None:
        state = self.make_state(tmp_path)
        await state.put("bill", "first")
        await state.put("bill", "second")
        assert await state.get("bill") == "second"

    @pytest.mark.parametrize("value", [Secret("x"), None, ["x"]], ids=["secret", "none", "list"])
    async def test_only_text_is_stored(self, tmp_path: Path, value: Any) -> None:
        state = self.make_state(tmp_path)
        with pytest.raises(Exception, match=r"."):
            await state.put("bill", value)
        assert await state.get("bill") is None
