"""From probe output to findings. Pure: the same output gives the same findings.

This module judges everything except GPUs and frameworks: Pythons, disk, clock, network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from attrs import frozen

from gpurent.domain.health import Finding, HealthReport, Verdict
from gpurent.domain.machine_facts import DiskSpace, MachineFacts
from gpurent.locale import _, join_list
from gpurent.remote.doctor import framework_findings, gpu_findings
from gpurent.remote.doctor.script import Measurements
from gpurent.remote.machine_facts import parse_facts
from gpurent.remote.shell import ProbeSection


@frozen(kw_only=True)
class ExpectedMachine:
    """What is paid for: ``gpus`` of the model ``gpu`` (memory in GiB; 0 or empty: unknown), and the job's Python.

    ``disk``: GiB of the machine's disk; 0: unknown.
    """

    gpu: str = ""
    gpus: int = 0
    gpu_memory: int = 0
    disk: int = 0
    python: str = "python3"
    data: str = ""


def make_hung_report(at: datetime, seconds: float) -> HealthReport:
    """Return the report for a script that does not finish, although each of its tools has a time limit."""
    finding = Finding(
        check="doctor", verdict=Verdict.FAILURE, cause="machine-hangs",
        text=_("the examination did not finish within {seconds:.0f} s").format(seconds=seconds),
        advice=_("The GPU or its driver hangs: release this machine and rent another one."),
    )  # fmt: skip
    return HealthReport(at=at, findings=(finding,))


def make_health_report(
    at: datetime, sections: Mapping[str, ProbeSection], measured: Measurements, wanted: ExpectedMachine
) -> HealthReport:
    """Return the report; every check has a finding, even if only that it could not be done."""
    survey = sections.get("survey")
    found = parse_facts(survey.stdout if survey else "", at, wanted.data)
    report = gpu_findings.read_gpu_report(sections)
    tried = framework_findings.parse_trial(sections)
    gpu = gpu_findings.assess_gpus(
        sections, report, wanted.gpus, wanted.gpu, wanted.gpu_memory, tried.working_gpus
    )
    findings = [
        *gpu,
        *framework_findings.assess_framework(sections, report, found.cuda, tried, wanted.python, wanted.gpus),
        *_assess_host(sections, found, measured, wanted.python),
    ]
    if "end" not in sections:
        text = _("the examination ended early")
        findings.append(
            Finding(
                check="doctor",
                verdict=Verdict.WARNING,
                text=text,
                advice=_("Try again: gpurent doctor LEASE"),
            )
        )
    return HealthReport(
        at=at,
        findings=tuple(findings),
        driver=report.driver,
        cuda=report.cuda,
        toolkit=found.cuda,
        cudnn=tried.cudnn or framework_findings.parse_installed_cudnn(sections),
        framework=tried.framework,
        gpus=report.gpus,
    )


GIB, MB = 1 << 30, 10**6
LOW_DISK, FULL_DISK = 5 * GIB, 64 << 20
SLOW_DISK, SLOW_CONNECTION = 20 * MB, 200_000
MAX_CLOCK_DRIFT = 30.0
_DD_OUTPUT = re.compile(r"(\d{1,15}) bytes .*copied, (\d{1,6}(?:\.\d{1,12})?(?:e-\d{1,2})?) s", re.ASCII)


def _assess_host(
    sections: Mapping[str, ProbeSection], found: MachineFacts, measured: Measurements, python: str
) -> Iterator[Finding]:
    """Yield the findings. ``python`` is the name that starts the job, empty if it needs none."""
    yield _assess_pythons(found, python)
    yield _assess_disk(sections, found.home)
    if written := sections.get("write"):
        yield _assess_disk_speed(written)
    yield _assess_clock(measured)
    yield _assess_network(measured)


def _assess_pythons(found: MachineFacts, python: str) -> Finding:
    there = join_list(f"{one.name} {one.version}" for one in found.pythons)
    if not there:
        return Finding(
            check="python", verdict=Verdict.WARNING, text=_("no Python found"), cause="no-python",
            advice=_("Python jobs will not start; install Python first."),
        )  # fmt: skip
    mine = next((one for one in found.pythons if one.name == python), None)
    if python and mine is None and "/" not in python:
        return Finding(
            check="python", verdict=Verdict.WARNING, cause="no-python",
            text=_("the job needs {python}; this machine only has: {there}").format(python=python, there=there),
            advice=_("Use one of these in the command."),
        )  # fmt: skip
    if mine is not None and mine.version.startswith("2."):
        return Finding(
            check="python", verdict=Verdict.WARNING, cause="python2",
            text=_("{python} is Python {version} on this machine").format(python=python, version=mine.version),
            advice=_("Start the job with python3."),
        )  # fmt: skip
    return Finding(check="python", verdict=Verdict.OK, text=there)


def _assess_disk(sections: Mapping[str, ProbeSection], home: DiskSpace | None) -> Finding:
    # The script's own section: it could not create its folder in the home folder.
    if "home" in sections and sections["home"].stdout == "no":
        return Finding(
            check="disk", verdict=Verdict.FAILURE, cause="disk-unwritable",
            text=_("the home folder is not writable"),
            advice=_("The disk is full or read-only: free some space, or release the machine."),
        )  # fmt: skip
    if home is None:
        return Finding(
            check="disk",
            verdict=Verdict.UNCHECKED,
            text=_("the machine did not report its disk space"),
        )
    text = _("{free:.1f} of {total:.1f} GiB free").format(free=home.free / GIB, total=home.total / GIB)
    if home.free < LOW_DISK:
        return Finding(
            check="disk",
            verdict=Verdict.FAILURE if home.free < FULL_DISK else Verdict.WARNING,
            text=text,
            advice=_("Results may not fit: free some space, or rent a larger disk."),
            cause="disk-full",
        )
    return Finding(check="disk", verdict=Verdict.OK, text=text)


def parse_dd_rate(section: ProbeSection | None) -> float:
    """Return the bytes per second that ``dd`` reported; 0 if it failed or reported nothing."""
    said = _DD_OUTPUT.search(section.stderr) if section is not None and not section.exit_status else None
    return int(said[1]) / float(said[2]) if said is not None and float(said[2]) else 0.0


def _assess_disk_speed(written: ProbeSection) -> Finding:
    rate = parse_dd_rate(written)
    if written.timed_out:
        return Finding(
            check="disk-speed", verdict=Verdict.WARNING, cause="disk-slow",
            text=_("writing a small test file timed out"),
            advice=_("Another job may be using the disk; try again later."),
        )  # fmt: skip
    if not rate:
        full = "No space left" in written.stderr
        return Finding(
            check="disk-speed", verdict=Verdict.WARNING if full else Verdict.UNCHECKED,
            text=_("the disk has no room for a small test file") if full
            else _("the disk speed could not be measured"),
            advice=_("Results may not fit: free some space, or rent a larger disk.") if full else "",
            cause="disk-full" if full else "",
        )  # fmt: skip
    text = _("writes at {rate:.0f} MB/s").format(rate=rate / MB)
    if rate < SLOW_DISK:
        return Finding(
            check="disk-speed",
            verdict=Verdict.WARNING,
            text=text,
            advice=_("Loading data will be slow. Use a few large files instead of many small ones."),
            cause="disk-slow",
        )
    return Finding(check="disk-speed", verdict=Verdict.OK, text=text)


def _assess_clock(measured: Measurements) -> Finding:
    if measured.clock_ahead is None:
        return Finding(
            check="clock",
            verdict=Verdict.UNCHECKED,
            text=_("the machine did not report its time"),
        )
    ahead = measured.clock_ahead
    if abs(ahead) - measured.clock_margin > MAX_CLOCK_DRIFT:
        return Finding(
            check="clock",
            verdict=Verdict.WARNING,
            text=(
                _("{seconds:.0f} s ahead of this computer")
                if ahead > 0
                else _("{seconds:.0f} s behind this computer")
            ).format(seconds=abs(ahead)),
            advice=_(
                "HTTPS downloads may fail, and times in logs are wrong. The clock of this computer "
                "may also be the wrong one."
            ),
            cause="clock-off",
        )
    return Finding(
        check="clock",
        verdict=Verdict.OK,
        text=_("matches this computer within {seconds:.1f} s").format(
            seconds=abs(ahead) + measured.clock_margin
        ),
    )


def _assess_network(measured: Measurements) -> Finding:
    rates = [rate for rate in (measured.upload_rate, measured.download_rate) if rate is not None]
    if not rates:
        return Finding(
            check="network",
            verdict=Verdict.UNCHECKED,
            text=_("the connection speed could not be measured"),
        )
    shown = [
        f"{rate / MB:.1f}" if rate is not None else "?"
        for rate in (measured.upload_rate, measured.download_rate)
    ]
    text = _("{up} MB/s up, {down} MB/s down").format(up=shown[0], down=shown[1])
    if min(rates) < SLOW_CONNECTION:
        return Finding(
            check="network",
            verdict=Verdict.WARNING,
            text=text,
            advice=_("If there is a cheaper machine, upload there first, and pack your data into archives."),
            cause="line-slow",
        )
    return Finding(check="network", verdict=Verdict.OK, text=text)
