"""Which programs a machine without Python has."""

from __future__ import annotations

from attrs import frozen

from gpurent_plugin_turbo.posix.checksums import Checksum, PosixChecksum, Sha256Checksum
from gpurent_plugin_turbo.posix.scripts import PROBE_SCRIPT
from gpurent_plugin_turbo.posix.shell import PosixShell, ScriptAnswer

FAST_RATE = 40e6  # bytes a second from which compressing takes longer than sending


@frozen
class MachineTools:
    """What `PROBE_SCRIPT` found."""

    names: frozenset[bytes] = frozenset()
    free: int = -1  # bytes on the disk; unknown below 0

    @classmethod
    def probe(cls, shell: PosixShell) -> MachineTools:
        return cls.parse(shell.run_script(PROBE_SCRIPT))

    @classmethod
    def parse(cls, answer: ScriptAnswer) -> MachineTools:
        free = answer.find_first(b"free").strip()
        return cls(frozenset(answer.find_all(b"has")), int(free) * 1024 if free.isdigit() else -1)

    @property
    def can_list(self) -> bool:
        """Whether its `find` and its `stat` can say what there is."""
        return b"lists" in self.names

    def new_checksum(self) -> Checksum:
        """The kind that it can compute too."""
        return Sha256Checksum() if b"sha256sum" in self.names else PosixChecksum()

    def should_compress(self, rate: float) -> bool:
        """Whether compressing pays on a connection of ``rate`` bytes a second."""
        return b"gzip" in self.names and rate < FAST_RATE
