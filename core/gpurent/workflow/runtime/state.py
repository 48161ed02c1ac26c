"""What is on disk: the journal, the settings, the plugins' entries. Nobody is asked, nothing is built, no loop runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gpurent.domain.lease import Lease
from gpurent.errors import LeaseError, UsageError
from gpurent.infra.clock import clock_from
from gpurent.infra.config.settings import read_config, variable
from gpurent.infra.platform.posix.files import private_folder
from gpurent.infra.sqlite.journal import Journal
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.infra.registry.registry import Registry
    from gpurent.roles.entries import LeaseEntry


class Records:
    """Enough for listings, which must start at once; the desk adds those who act."""

    def __init__(self, registry: Registry, home: Path, environment: Mapping[str, str]) -> None:
        self.registry = registry
        self.home = private_folder(home)
        self.environment = environment
        self.config = read_config(home / "config.toml")
        self.clock = clock_from(environment.get("GPURENT_CLOCK", ""))
        self.journal = Journal(home / "journal.sqlite", self.clock.now)

    def setting(self, section: str, key: str, default: str = "") -> str:
        """One setting of core's own: environment, file, default."""
        value = self.environment.get(variable(section, key))
        return value if value is not None else self.config.get(section, {}).get(key, default)

    def provider(self, name: str) -> LeaseEntry:
        entry: LeaseEntry = self.registry.get("lease", name)
        return entry

    def leases(self, *, over: bool = False) -> list[Lease]:
        """Ours as they were last seen, oldest first; those that are not over, unless ``over``."""
        return [lease for lease in self.journal.leases() if over or not lease.over]

    def lease(self, given: str) -> Lease:
        """The lease with this id, or the only one that it begins; `UsageError` else."""
        exact = self.journal.lease(given)
        if exact is not None:
            return exact
        found = [lease for lease in self.journal.leases() if given and lease.id.startswith(given)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(
                _("{given} may be {many}").format(given=given, many=", ".join(x.id for x in found))
            )
        raise LeaseError(_("no lease is called {given}").format(given=given), hint=_("See: gpurent ls --all"))


def data_folder() -> Path:
    """Where the state is kept: ``GPURENT_HOME``, else the platform's data folder."""
    home = os.environ.get("GPURENT_HOME", "")
    if home:
        return Path(home)
    from platformdirs import user_data_path

    return user_data_path("gpurent")


@contextmanager
def reading(registry: Registry) -> Iterator[Records]:
    """The user's records, closed at the end."""
    records = Records(registry, data_folder(), os.environ)
    try:
        yield records
    finally:
        records.journal.close()
