"""CUDA, cuDNN and the framework: what the convolution on the machine came to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from gpurent.domain.health import Finding, Verdict
from gpurent.locale import _
from gpurent.remote.doctor.known_problems import KnownProblem, decode_cudnn_version, find_known_problem
from gpurent.remote.doctor.script import CONVOLUTION_TIMEOUT
from gpurent.remote.nvidia_smi import GpuReport
from gpurent.remote.shell import ProbeSection, iter_marked_lines

_MARK = "gpurent-convolution:"
_SIGILL, _SIGSEGV = 128 + 4, 128 + 11
_DOCTOR_COMMAND = "gpurent doctor LEASE"
MAX_STAGES = 200


@frozen(kw_only=True)
class ConvolutionTrial:
    """How far the convolution came. ``stages``: what it reported, in order; ``output``: everything that it printed."""

    python: str = ""
    stages: tuple[Mapping[str, Any], ...] = ()
    status: int | None = 0
    output: str = ""

    def find_stage(self, name: str) -> Mapping[str, Any]:
        return next((stage for stage in self.stages if stage["stage"] == name), {})

    @property
    def devices(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(stage for stage in self.stages if stage["stage"] == "device")

    @property
    def working_gpus(self) -> int:
        """On how many GPUs it went well."""
        return sum("error" not in device for device in self.devices)

    @property
    def cudnn(self) -> str:
        given = self.find_stage("import").get("cudnn")
        if isinstance(given, int) and 1000 <= given < 10**7:
            return decode_cudnn_version(given)
        return _match_word(given, r"\d[\d.]{0,15}")

    @property
    def framework(self) -> str:
        """ "torch 2.1.0, CUDA 12.1, cuDNN 8.9.2"."""
        imported = self.find_stage("import")
        if not imported:
            return ""
        framework = _match_word(imported.get("framework"), r"[a-z]{2,20}")
        parts = [f"{framework} {_match_word(imported.get('version'), r'[0-9A-Za-z.+-]{1,40}')}"]
        cuda = _match_word(imported.get("cuda"), r"\d[\d.]{0,15}")
        parts += [f"CUDA {cuda}"] if cuda else []
        parts += [f"cuDNN {self.cudnn}"] if self.cudnn else []
        return ", ".join(parts)


def parse_trial(sections: Mapping[str, ProbeSection]) -> ConvolutionTrial:
    """The one trial of an examination; empty when there was no framework to try."""
    for name, section in sections.items():
        kind, _space, python = name.partition(" ")
        if kind == "convolution":
            return ConvolutionTrial(
                python=python,
                stages=_parse_stages(section.stdout),
                status=section.exit_status,
                output=f"{section.stdout}\n{section.stderr}",
            )
    return ConvolutionTrial()


def _parse_stages(out: str) -> tuple[Mapping[str, Any], ...]:
    found = []
    for line in iter_marked_lines(out, _MARK):
        try:
            stage = json.loads(line[:4000])
        except (ValueError, RecursionError):
            continue
        if isinstance(stage, dict) and isinstance(stage.get("stage"), str):
            found.append(stage)
    return tuple(found[:MAX_STAGES])


def _match_word(value: object, form: str) -> str:
    return value if isinstance(value, str) and re.fullmatch(form, value, re.ASCII) else ""


def parse_installed_cudnn(sections: Mapping[str, ProbeSection]) -> str:
    """The system's own cuDNN by its header, or by the name of the library that the loader finds."""
    header = sections["header"].stdout.split() if "header" in sections else []
    if len(header) == 3 and all(part.isascii() and part.isdecimal() and len(part) < 4 for part in header):
        return ".".join(header)
    library = sections["libraries"].stdout if "libraries" in sections else ""
    versions = re.findall(r"libcudnn\.so\.(\d{1,3}(?:\.\d{1,3}){0,2})\b", library, re.ASCII)
    return max(versions, key=len, default="")


def assess_framework(
    sections: Mapping[str, ProbeSection],
    report: GpuReport,
    toolkit: str,
    tried: ConvolutionTrial,
    python: str,
    gpus: int,
) -> Iterator[Finding]:
    """``python`` is the job's own, ``gpus`` how many are paid for."""
    yield _assess_cuda(report, toolkit)
    if not tried.python:
        yield _no_framework_finding(sections)
        return
    if tried.python != python and python:
        yield Finding(
            check="framework",
            verdict=Verdict.WARNING,
            text=_("{python} has no framework; {other} has: {framework}").format(
                python=python, other=tried.python, framework=tried.framework or "-"
            ),
            do=_("Start the job by that Python, or install the framework for the other."),
            cause="other-python",
        )
    elif tried.framework:
        yield Finding(check="framework", verdict=Verdict.OK, text=f"{tried.framework} ({tried.python})")
    result = _assess_convolution(tried, bool(gpus or report.gpus))
    yield result
    if result.check != "cudnn":
        yield Finding(
            check="cudnn",
            verdict=Verdict.UNCHECKED,
            text=_("not checked: no convolution could be made on the GPU, see the others"),
        )


def _assess_cuda(report: GpuReport, toolkit: str) -> Finding:
    if not toolkit and not report.cuda:
        return Finding(
            check="cuda",
            verdict=Verdict.UNCHECKED,
            text=_("not checked: neither driver nor toolkit tell of CUDA"),
        )
    if not toolkit:
        return Finding(
            check="cuda",
            verdict=Verdict.OK,
            text=_("no toolkit is installed; frameworks from pip and conda bring their own"),
        )
    if report.cuda and int(toolkit.partition(".")[0]) > int(report.cuda.partition(".")[0]):
        return Finding(
            check="cuda", verdict=Verdict.WARNING, cause="driver-old",
            text=_("the toolkit is CUDA {toolkit}, and the driver serves up to {cuda}").format(
                toolkit=toolkit, cuda=report.cuda
            ),
            do=_("Programs built by this toolkit will not start. Use an older CUDA, or a machine with a newer driver."),
        )  # fmt: skip
    return Finding(check="cuda", verdict=Verdict.OK, text=_("toolkit {toolkit}").format(toolkit=toolkit))


def _no_framework_finding(sections: Mapping[str, ProbeSection]) -> Finding:
    asked = [name.partition(" ")[2] for name in sections if name.startswith("which ")]
    version = parse_installed_cudnn(sections)
    there = " " + _("cuDNN {version} is installed.").format(version=version) if version else ""
    text = _(
        "not checked: neither PyTorch nor TensorFlow is there to make a convolution ({pythons})."
    ).format(pythons=", ".join(asked) or _("no Python 3"))
    return Finding(
        check="cudnn",
        verdict=Verdict.UNCHECKED,
        text=text + there,
        do=_("Once one is installed, ask again: {command}").format(command=_DOCTOR_COMMAND),
    )


def _assess_convolution(tried: ConvolutionTrial, expected: bool) -> Finding:
    wrong = [device for device in tried.devices if "error" in device]
    if wrong:
        return _failed_finding(tried, [str(device["error"]) for device in wrong])
    if tried.status is None:
        return _hung_finding(tried)
    if tried.status or not tried.find_stage("end"):
        return _crashed_finding(tried)
    if failed := tried.find_stage("failed"):
        trouble = find_known_problem(f"{failed.get('error')}\n{tried.output}")
        return (
            _problem_finding(trouble, Verdict.FAILURE)
            if trouble
            else _unknown_error_finding(failed.get("error"), Verdict.WARNING)
        )
    if not tried.working_gpus:
        return _no_gpu_finding(tried, expected)
    return Finding(
        check="cudnn",
        verdict=Verdict.OK,
        text=_("a convolution forward and backward went well on {n} GPU(s): {framework}").format(
            n=tried.working_gpus, framework=tried.framework
        ),
    )


def _no_gpu_finding(tried: ConvolutionTrial, expected: bool) -> Finding:
    """The framework works and sees no GPU."""
    trouble = find_known_problem(f"{tried.find_stage('gpus').get('error', '')}\n{tried.output}")
    if not expected:
        return Finding(
            check="cudnn",
            verdict=Verdict.UNCHECKED,
            text=_(
                "not checked: no GPU is here. On the processor a convolution went well: {framework}"
            ).format(framework=tried.framework),
        )
    if trouble is None:
        return _unknown_error_finding(
            tried.find_stage("gpus").get("error") or _("the framework sees no GPU"), Verdict.FAILURE
        )
    # The machine is well when only its software is for processors: a job may bring its own.
    return _problem_finding(trouble, Verdict.WARNING if trouble.cause == "no-cuda-build" else Verdict.FAILURE)


def _failed_finding(tried: ConvolutionTrial, errors: Sequence[str]) -> Finding:
    # The framework's own log names the cause where the exception only complains.
    text = "\n".join(errors)
    plain, whole = find_known_problem(text), find_known_problem(f"{tried.output}\n{text}")
    trouble = whole if plain is None or plain.check == "cudnn" else plain
    return (
        _problem_finding(trouble, Verdict.FAILURE)
        if trouble
        else _unknown_error_finding(errors[0], Verdict.FAILURE)
    )


def _hung_finding(tried: ConvolutionTrial) -> Finding:
    if tried.find_stage("cpu"):
        return Finding(
            check="cudnn",
            verdict=Verdict.FAILURE,
            text=_("the convolution on the GPU did not end in {seconds} s").format(
                seconds=CONVOLUTION_TIMEOUT
            ),
            do=_("The GPU or its driver hangs: give the machine back, take another one."),
            cause="gpu-hangs",
        )
    return Finding(
        check="cudnn",
        verdict=Verdict.UNCHECKED,
        text=_("not checked: the framework did not load in {seconds} s").format(seconds=CONVOLUTION_TIMEOUT),
        do=_("The disk may be slow. Ask again: {command}").format(command=_DOCTOR_COMMAND),
        cause="slow-load",
    )


def _crashed_finding(tried: ConvolutionTrial) -> Finding:
    trouble = find_known_problem(tried.output)
    if trouble is not None:
        return _problem_finding(trouble, Verdict.FAILURE)
    status = tried.status or 0
    if status == _SIGILL:
        return Finding(
            check="framework", verdict=Verdict.FAILURE, cause="processor-old",
            text=_("the machine's processor lacks instructions (AVX) that the framework was built with"),
            do=_("Install a build without them, or take another machine."),
        )  # fmt: skip
    reached = tried.stages[-1]["stage"] if tried.stages else "-"
    what = _("crashed") if status >= 128 else _("ended")
    return Finding(
        check="cudnn",
        verdict=Verdict.FAILURE,
        text=_("the convolution {what} (status {status}) after: {stage}").format(
            what=what, status=status, stage=_match_word(reached, r"[a-z]{1,12}") or "-"
        ),
        do=_(
            "Parts that do not fit together often end so. Try another build of the framework, or another machine."
        ),
        cause="crash" if status != _SIGSEGV else "segfault",
    )


def _problem_finding(trouble: KnownProblem, verdict: Verdict) -> Finding:
    return Finding(
        check=trouble.check, verdict=verdict, text=trouble.text, do=trouble.do, cause=trouble.cause
    )


def _unknown_error_finding(error: object, verdict: Verdict) -> Finding:
    said = " ".join(str(error or "-").split())[:200]
    return Finding(
        check="cudnn",
        verdict=verdict,
        text=_("the framework fails: {said}").format(said=said if said.isprintable() else "-"),
        do=_("Search for these words together with its name."),
    )
