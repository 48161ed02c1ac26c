"""Secrets at rest."""

from __future__ import annotations

from typing import Protocol

from gpurent.domain.secret import Secret


class Vault(Protocol):
    """Secrets of this plugin, encrypted at rest."""

    def get(self, name: str) -> Secret | None: ...
    def put(self, name: str, secret: Secret) -> None: ...
    def drop(self, name: str) -> None: ...
