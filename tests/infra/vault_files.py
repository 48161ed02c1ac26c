"""Vaults in a folder: opened as a new process does, and changed behind its back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpurent.domain.secret import Secret
from gpurent.infra.outside_records import make_outside_records
from gpurent.infra.vault.access import ScopedVault
from gpurent.infra.vault.file_vault import FileVault

CANARY = "canary-7f3a-壹-secret"
PASSPHRASE = "correct horse battery staple"


class CountingPassphrase:
    """Answers with one passphrase and counts the requests."""

    def __init__(self, text: str | None) -> None:
        self.text = text
        self.requests: list[bool] = []

    def __call__(self, first: bool) -> Secret | None:
        self.requests.append(first)
        return None if self.text is None else Secret(self.text)


def open_vault(folder: Path, text: str | None = None) -> FileVault:
    return make_vault(folder, CountingPassphrase(text))


def make_vault(folder: Path, ask: CountingPassphrase) -> FileVault:
    """Return the vault in ``folder`` of the data folder above it."""
    return FileVault(folder, ask, make_outside_records(folder.parent, {}))


def scope(vault: FileVault, prefix: str) -> ScopedVault:
    return ScopedVault(vault, prefix)


def read_vault(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "vault.json").read_bytes())
    return found


def rewrite_vault(folder: Path, change: Callable[[dict[str, Any]], object]) -> bytes:
    found = read_vault(folder)
    change(found)
    data = json.dumps(found).encode()
    (folder / "vault.json").write_bytes(data)
    return data
