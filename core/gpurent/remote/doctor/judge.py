"""From the machine's answers to findings. Pure: the same answers give the same findings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from gpurent.domain.health import Finding, Health, Verdict
from gpurent.locale import _
from gpurent.remote import machine_facts as survey
from gpurent.remote.doctor import judge_framework, judge_gpu, judge_host
from gpurent.remote.doctor.measure import Measured
from gpurent.remote.doctor.script import Section, whole


@frozen(kw_only=True)
class Wanted:
    """What is paid for: ``gpus`` of the kind ``gpu`` (memory in GiB; 0 and empty: not said), and the job's Python."""

    gpu: str = ""
    gpus: int = 0
    gpu_memory: int = 0
    python: str = "python3"
    data: str = ""


def hung(at: datetime, seconds: float) -> Health:
    """The line lives, and the script, whose tools all have limits of their own, does not come to its end."""
    finding = Finding(
        check="doctor", verdict=Verdict.FAILURE, cause="machine-hangs",
        text=_("the machine did not come to the end of the examination in {seconds:.0f} s").format(seconds=seconds),
        do=_("The GPU or its driver hangs: give the machine back, take another one."),
    )  # fmt: skip
    return Health(at=at, findings=(finding,))


def judge(at: datetime, sections: Mapping[str, Section], measured: Measured, wanted: Wanted) -> Health:
    """Every subject gets a finding, if only that it could not be checked."""
    told = sections.get("survey")
    found = survey.read(told.out if told else "", at, wanted.data)
    smi = judge_gpu.driver_of(sections)
    tried = judge_framework.trial(sections)
    gpu = judge_gpu.findings(sections, smi, wanted.gpus, wanted.gpu, wanted.gpu_memory, tried.gpus)
    findings = [
        *gpu,
        *judge_framework.findings(sections, smi, found.cuda, tried, wanted.python, wanted.gpus),
        *judge_host.findings(sections, found, measured, wanted.python),
    ]
    if not whole(sections):
        text = _("the machine broke the examination off")
        findings.append(
            Finding(
                check="doctor", verdict=Verdict.WARNING, text=text, do=_("Ask again: gpurent doctor LEASE")
            )
        )
    return Health(
        at=at,
        findings=tuple(findings),
        driver=smi.driver,
        cuda=smi.cuda,
        toolkit=found.cuda,
        cudnn=tried.cudnn or judge_framework.installed_cudnn(sections),
        framework=tried.name,
        gpus=smi.gpus,
    )
