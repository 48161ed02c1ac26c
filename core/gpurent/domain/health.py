"""Whether a rented machine can do the work: the doctor's checks, their results and advice."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from attrs import field, frozen

from gpurent.domain.machine_facts import Gpu
from gpurent.terminal_text import NO_TEXT, ForeignText


class Verdict(Enum):
    """The result of a check. ``UNCHECKED`` says nothing about the machine: the check could not be made."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    UNCHECKED = "unchecked"


class DoctorPolicy(Enum):
    """What a trip does about the doctor's result before its job starts.

    ``WARN`` reports the findings; ``REQUIRE`` releases a machine that failed.
    """

    OFF = "off"
    WARN = "warn"
    REQUIRE = "require"


@frozen(kw_only=True)
class Finding:
    """The result of one check. ``cause`` is the name of a known problem; ``advice``: is what to do about it."""

    check: str
    verdict: Verdict
    text: ForeignText = field(converter=ForeignText)
    advice: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    cause: ForeignText = field(default=NO_TEXT, converter=ForeignText)


@frozen(kw_only=True)
class HealthReport:
    """The result of one examination. ``framework`` ran the convolution test ("torch 2.1.0, CUDA 12.1, cuDNN 8.9.2").

    ``cuda`` is the newest CUDA version that the driver supports; ``toolkit`` is the installed one.
    """

    at: datetime
    findings: tuple[Finding, ...]
    driver: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    cuda: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    toolkit: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    cudnn: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    framework: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    gpus: tuple[Gpu, ...] = ()

    def findings_with(self, verdict: Verdict) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.verdict is verdict)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all findings; those that were not checked do not count."""
        for verdict in (Verdict.FAILURE, Verdict.WARNING, Verdict.OK):
            if self.findings_with(verdict):
                return verdict
        return Verdict.UNCHECKED
