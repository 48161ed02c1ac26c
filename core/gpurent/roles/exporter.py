"""How other programs learn of a lease."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from attrs import field, frozen, validators

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret

# Small letters: ssh and URLs do not tell them from capitals.
ALIAS_PATTERN = r"[a-z0-9][a-z0-9._-]{0,62}"
_PATH_PART_PATTERN = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9_+@.,-]+"
FOLDER_PATTERN = rf"/(?:{_PATH_PART_PATTERN}(?:/{_PATH_PART_PATTERN})*)?"
HOST_KEY_PATTERN = r"[a-z0-9@.-]+ [A-Za-z0-9+/=]+"


@frozen(kw_only=True)
class ExportedLease:
    """A lease as other programs need it: where, and the files that prove who is who.

    ``name`` is also the machine's alias: ``known_hosts`` pins ``host_key`` ("ssh-ed25519 AAAA…") under it.
    ``fingerprint`` is "SHA256:…". ``folder`` is the home on the machine, empty if it has an unusual name.
    ``name``, ``host_key`` and ``folder`` are checked, the endpoint checks itself: none can break out of its line.
    The two paths are the user's own and may hold anything that a path may.
    """

    name: str = field(validator=validators.matches_re(ALIAS_PATTERN))
    endpoint: Endpoint
    key_file: Path
    known_hosts: Path
    host_key: str = field(default="", validator=validators.matches_re(rf"(?:{HOST_KEY_PATTERN})?"))
    fingerprint: str = field(default="", validator=validators.matches_re(r"(?:SHA256:[A-Za-z0-9+/]{43})?"))
    folder: str = field(default="", validator=validators.matches_re(rf"(?:{FOLDER_PATTERN})?"))
    password: Secret | None = None


@frozen(kw_only=True)
class ExportFile:
    """``name`` is a proposal: the last part of a path."""

    name: str
    content: bytes = field(repr=False)


@frozen(kw_only=True)
class Export:
    """``file``: what only a file can carry. ``text``: what can be read and pasted; some have both, some one of them.

    ``notes`` tell the user what to do with it, and what was left out and why.
    """

    file: ExportFile | None = None
    text: str = field(default="", repr=False)
    notes: tuple[str, ...] = ()


class Exporter(ABC):
    """Writes connection profiles of one program."""

    @abstractmethod
    def export_leases(self, leases: Sequence[ExportedLease]) -> Export:
        """All ``leases``, at least one, as the program reads them; pure. Passwords only where ``password`` is set."""


class SupportsInstall(ABC):
    """Capability: the program reads its profiles from a place of its own below the user's ``home``.

    Called only when the user agreed. Everything is idempotent; each line that comes back says one thing that was done.
    """

    @abstractmethod
    def install_leases(self, leases: Sequence[ExportedLease], home: Path) -> Sequence[str]:
        """Put ``leases`` beside those that are there already; the same name is replaced."""

    @abstractmethod
    def list_installed(self, home: Path) -> Sequence[str]:
        """The names that are there now; looks, changes nothing."""

    @abstractmethod
    def uninstall_leases(self, names: Sequence[str], home: Path) -> Sequence[str]:
        """Take ``names`` out; with the last one everything that `install` ever put there."""


class SupportsOpen(ABC):
    """Capability: the program can be started on a machine."""

    @abstractmethod
    def open_command(self, lease: ExportedLease) -> tuple[str, ...]:
        """What starts it here, as an argument list; tried only when its first word is on PATH."""

    @abstractmethod
    def open_link(self, lease: ExportedLease) -> str:
        """The URL that starts it by hand."""
