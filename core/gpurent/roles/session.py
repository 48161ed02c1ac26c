"""Who keeps a job alive when the line is lost. Sans-I/O: strings out, strings in; core runs them over the link."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from gpurent.domain.session import SessionInfo


class SessionBackend(ABC):
    """A terminal keeper such as screen. Session names are checked by core (`gpurent.domain.session.NAME`)."""

    @abstractmethod
    def probe(self) -> str:
        """A shell command whose status says whether the tool is there: 0 yes."""

    @abstractmethod
    def install(self, prefix: str) -> str:
        """The shell command that installs it, given the machine's package command (``sudo apt-get install -y``)."""

    @abstractmethod
    def start(self, name: str, script: str) -> str:
        """A shell command that starts ``sh script`` detached under ``name`` and returns at once."""

    @abstractmethod
    def listing(self) -> str:
        """A shell command that prints the sessions; its status does not matter."""

    @abstractmethod
    def parse(self, output: str) -> Sequence[SessionInfo]:
        """The sessions in what `listing` printed; unknown lines are passed over."""

    @abstractmethod
    def attach(self, session: SessionInfo) -> str:
        """The command to run under a PTY to get into ``session``, taking it over from a line that was lost."""

    @abstractmethod
    def stop(self, session: SessionInfo) -> str:
        """The shell command that ends ``session`` and everything in it."""

    def hint(self) -> str:
        """How a person leaves an attached session without ending it, in words ("Ctrl+a d")."""
        return ""
