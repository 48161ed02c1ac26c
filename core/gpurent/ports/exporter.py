"""How other programs learn of a lease."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from gpurent.model.access import Endpoint
from gpurent.model.secret import Secret


@frozen(kw_only=True)
class Exported:
    """A lease as other programs need it: where, and the files that prove who is who."""

    name: str
    endpoint: Endpoint
    key_file: Path
    known_hosts: Path
    fingerprint: str = ""
    password: Secret | None = None


class Exporter(ABC):
    """Writes connection profiles of one desktop program."""

    @abstractmethod
    def export(self, leases: Sequence[Exported]) -> bytes:
        """The file's content. Passwords only where ``password`` is set."""
