"""How a command becomes a process, or several."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gpurent.domain.access import MachineProfile


class Launcher(ABC):
    """A pure function from command to command."""

    @abstractmethod
    def launch(self, command: tuple[str, ...], profile: MachineProfile) -> str:
        """The shell line that runs ``command`` on a machine of ``profile``; arguments quoted."""
