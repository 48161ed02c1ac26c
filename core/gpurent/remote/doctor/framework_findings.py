"""Findings on CUDA, cuDNN and the framework, from the convolution that was run on the machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from gpurent.domain.health import Finding, Verdict
from gpurent.locale import _, join_list, ngettext
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
    """How far the convolution got. ``stages``: those it reported, in order; ``output``: everything it printed."""

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
        """The number of GPUs on which it succeeded."""
        return sum("error" not in device for device in self.devices)

    @property
    def cudnn(self) -> str:
        given = self.find_stage("import").get("cudnn")
        if isinstance(given, int) and 1000 <= given < 10**7:
            return decode_cudnn_version(given)
        return _match_word(given, r"\d[\d.]{0,15}")

    @property
    def framework(self) -> str:
        """A description such as "torch 2.1.0, CUDA 12.1, cuDNN 8.9.2"."""
        imported = self.find_stage("import")
        if not imported:
            return ""
        framework = _match_word(imported.get("framework"), r"[a-z]{2,20}")
        parts = [f"{framework} {_match_word(imported.get('version'), r'[0-9A-Za-z.+-]{1,40}')}"]
        cuda = _match_word(imported.get("cuda"), r"\d[\d.]{0,15}")
        parts += [f"CUDA {cuda}"] if cuda else []
        parts += [f"cuDNN {self.cudnn}"] if self.cudnn else []
        return join_list(parts)


def parse_trial(sections: Mapping[str, ProbeSection]) -> ConvolutionTrial:
    """Return the trial of an examination; empty if there was no framework to try."""
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
    """Return the version of the system's cuDNN from its header, or from the library name that the loader finds."""
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
    """Yield the findings. ``python`` is the job's own, ``gpus`` the number of GPUs that are paid for."""
    yield _assess_cuda(report, toolkit)
    if not tried.python:
        yield _no_framework_finding(sections)
        return
    if tried.python != python and python:
        yield Finding(
            check="framework",
            verdict=Verdict.WARNING,
            text=_("{python} has no framework; {other} has one: {framework}").format(
                python=python, other=tried.python, framework=tried.framework or "-"
            ),
            advice=_(
                "Run the job with the Python that has the framework, or install the framework for "
                "the other one."
            ),
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
            text=_("no convolution could be run on the GPU; see the other findings"),
        )


def _assess_cuda(report: GpuReport, toolkit: str) -> Finding:
    if not toolkit and not report.cuda:
        return Finding(
            check="cuda",
            verdict=Verdict.UNCHECKED,
            text=_("neither the driver nor a toolkit reports CUDA"),
        )
    if not toolkit:
        return Finding(
            check="cuda",
            verdict=Verdict.OK,
            text=_("no toolkit is installed; frameworks from pip and conda include their own"),
        )
    if report.cuda and int(toolkit.partition(".")[0]) > int(report.cuda.partition(".")[0]):
        return Finding(
            check="cuda", verdict=Verdict.WARNING, cause="driver-old",
            text=_("the toolkit is CUDA {toolkit}, but the driver only supports up to {cuda}").format(
                toolkit=toolkit, cuda=report.cuda
            ),
            advice=_("Programs built with this toolkit will not start. Use an older CUDA, or a machine "
                 "with a newer driver."),
        )  # fmt: skip
    return Finding(check="cuda", verdict=Verdict.OK, text=_("toolkit {toolkit}").format(toolkit=toolkit))


def _no_framework_finding(sections: Mapping[str, ProbeSection]) -> Finding:
    asked = [name.partition(" ")[2] for name in sections if name.startswith("which ")]
    version = parse_installed_cudnn(sections)
    text = (
        _("neither PyTorch nor TensorFlow is installed, only cuDNN {version} ({pythons})")
        if version
        else _("neither PyTorch nor TensorFlow is installed to run a convolution ({pythons})")
    ).format(
        pythons=_("tried {pythons}").format(pythons=join_list(asked)) if asked else _("no Python 3"),
        version=version,
    )
    return Finding(
        check="cudnn",
        verdict=Verdict.UNCHECKED,
        text=text,
        advice=_("Install one of them, then check again: {command}").format(command=_DOCTOR_COMMAND),
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
        text=ngettext(
            "forward and backward convolution succeeded on {n} GPU: {framework}",
            "forward and backward convolution succeeded on {n} GPUs: {framework}",
            tried.working_gpus,
        ).format(n=tried.working_gpus, framework=tried.framework),
    )


def _no_gpu_finding(tried: ConvolutionTrial, expected: bool) -> Finding:
    """Return the finding for a framework that works but finds no GPU."""
    trouble = find_known_problem(f"{tried.find_stage('gpus').get('error', '')}\n{tried.output}")
    if not expected:
        return Finding(
            check="cudnn",
            verdict=Verdict.UNCHECKED,
            text=_("no GPU found. A convolution on the CPU succeeded: {framework}").format(
                framework=tried.framework
            ),
        )
    if trouble is None:
        return _unknown_error_finding(
            tried.find_stage("gpus").get("error") or _("the framework sees no GPU"), Verdict.FAILURE
        )
    # Only a CPU-only build is installed; the machine itself is fine, and a job may bring its own build.
    return _problem_finding(trouble, Verdict.WARNING if trouble.cause == "no-cuda-build" else Verdict.FAILURE)


def _failed_finding(tried: ConvolutionTrial, errors: Sequence[str]) -> Finding:
    # The framework's log names the cause when the exception only names a symptom.
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
            text=_("the convolution on the GPU did not finish within {seconds} s").format(
                seconds=CONVOLUTION_TIMEOUT
            ),
            advice=_("The GPU or its driver hangs: release this machine and rent another one."),
            cause="gpu-hangs",
        )
    return Finding(
        check="cudnn",
        verdict=Verdict.UNCHECKED,
        text=_("the framework did not load within {seconds} s").format(seconds=CONVOLUTION_TIMEOUT),
        advice=_("The disk may be slow. Check again: {command}").format(command=_DOCTOR_COMMAND),
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
            text=_("the machine's CPU lacks instructions (AVX) that the framework was built with"),
            advice=_("Install a build without them, or rent another machine."),
        )  # fmt: skip
    reached = tried.stages[-1]["stage"] if tried.stages else "-"
    text = (
        _("the convolution crashed (exit status {status}) after stage: {stage}")
        if status >= 128
        else _("the convolution ended (exit status {status}) after stage: {stage}")
    )
    return Finding(
        check="cudnn",
        verdict=Verdict.FAILURE,
        text=text.format(status=status, stage=_match_word(reached, r"[a-z]{1,12}") or "-"),
        advice=_(
            "Incompatible versions often cause this. Try another build of the framework, or rent "
            "another machine."
        ),
        cause="crash" if status != _SIGSEGV else "segfault",
    )


def _problem_finding(trouble: KnownProblem, verdict: Verdict) -> Finding:
    return Finding(
        check=trouble.check, verdict=verdict, text=trouble.text, advice=trouble.do, cause=trouble.cause
    )


def _unknown_error_finding(error: object, verdict: Verdict) -> Finding:
    said = " ".join(str(error or "-").split())[:200]
    return Finding(
        check="cudnn",
        verdict=verdict,
        text=_("the framework failed: {said}").format(said=said if said.isprintable() else "-"),
        advice=_("Search the web for this message and the framework's name."),
    )
