"""Whether a rented machine can do the work: what was looked at, and what to do about it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from attrs import frozen

from gpurent.domain.machine_facts import Gpu


class Verdict(Enum):
    """``UNCHECKED`` is no verdict on the machine: nobody could look."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    UNCHECKED = "unchecked"


class DoctorPolicy(Enum):
    """What a trip does with a machine before its job starts on it.

    ``WARN`` tells what was found; ``REQUIRE`` gives a machine back that failed.
    """

    OFF = "off"
    WARN = "warn"
    REQUIRE = "require"


@frozen(kw_only=True)
class Finding:
    """One thing that was looked at. ``cause`` is the short name of a known trouble; ``do`` what to do, if anything."""

    check: str
    verdict: Verdict
    text: str
    do: str = ""
    cause: str = ""


@frozen(kw_only=True)
class HealthReport:
    """One examination. ``cuda``: the newest that the driver serves; ``toolkit``: what is installed to build with.

    ``framework`` is the one that made the convolution ("torch 2.1.0, CUDA 12.1, cuDNN 8.9.2").
    """

    at: datetime
    findings: tuple[Finding, ...]
    driver: str = ""
    cuda: str = ""
    toolkit: str = ""
    cudnn: str = ""
    framework: str = ""
    gpus: tuple[Gpu, ...] = ()

    def findings_with(self, verdict: Verdict) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.verdict is verdict)

    @property
    def verdict(self) -> Verdict:
        """The worst of all; what was not checked makes nothing worse."""
        for verdict in (Verdict.FAILURE, Verdict.WARNING, Verdict.OK):
            if self.findings_with(verdict):
                return verdict
        return Verdict.UNCHECKED
