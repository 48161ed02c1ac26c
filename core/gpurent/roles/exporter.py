"""Exporters: connection profiles of leases for other programs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from attrs import field, frozen, validators

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.terminal_text import ForeignText, to_foreign_texts

# Lower case only: ssh and URLs do not distinguish case.
ALIAS_PATTERN = r"[a-z0-9][a-z0-9._-]{0,62}"
_PATH_PART_PATTERN = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9_+@.,-]+"
FOLDER_PATTERN = rf"/(?:{_PATH_PART_PATTERN}(?:/{_PATH_PART_PATTERN})*)?"
HOST_KEY_PATTERN = r"[a-z0-9@.-]+ [A-Za-z0-9+/=]+"


@frozen(kw_only=True)
class ExportedLease:
    """A lease as other programs need it: its address, and the files for authentication of both sides.

    ``name`` is also the machine's alias: ``known_hosts`` pins ``host_key`` ("ssh-ed25519 AAAA…") under it.
    ``fingerprint`` is "SHA256:…". ``folder`` is the home folder on the machine, empty if it has an unusual name.
    ``name``, ``host_key``, ``folder`` and the endpoint are validated: none of them can inject anything into a
    configuration file. ``key_file`` and ``known_hosts`` are the user's own and may contain any character that a
    path can.
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
    """A file to write. ``name`` is a suggestion, a file name without folders."""

    name: str
    content: bytes = field(repr=False)


@frozen(kw_only=True)
class Export:
    """``file``: for formats that must be a file. ``text``: what can be read and pasted. One of them or both are set.

    ``notes`` tell the user what to do with it, and what was left out and why.
    """

    file: ExportFile | None = None
    text: str = field(default="", repr=False)
    notes: tuple[ForeignText, ...] = field(default=(), converter=to_foreign_texts)


class Exporter(ABC):
    """Writes connection profiles for one program."""

    @abstractmethod
    def export_leases(self, leases: Sequence[ExportedLease]) -> Export:
        """Export all ``leases`` (at least one) in the program's format; pure. Passwords only if ``password`` is set."""


class SupportsInstall(ABC):
    """Capability: the program reads its profiles from a fixed place below the user's ``home``.

    Called only when the user has agreed. All methods are idempotent; each returned line describes one change made.
    """

    @abstractmethod
    def install_leases(self, leases: Sequence[ExportedLease], home: Path) -> Sequence[str]:
        """Add ``leases`` to the profiles that are there; a profile with the same name is replaced."""

    @abstractmethod
    def list_installed(self, home: Path) -> Sequence[str]:
        """Return the names of the installed profiles; changes nothing."""

    @abstractmethod
    def uninstall_leases(self, names: Sequence[str], home: Path) -> Sequence[str]:
        """Remove the profiles ``names``; with the last one, everything that `install_leases` ever added."""


class SupportsOpen(ABC):
    """Capability: the program can be started on a machine."""

    @abstractmethod
    def make_open_command(self, lease: ExportedLease) -> tuple[str, ...]:
        """Return the command that starts the program, as an argument list; used only if its first word is on PATH."""

    @abstractmethod
    def make_open_link(self, lease: ExportedLease) -> str:
        """Return the URL with which the user can start the program manually."""
