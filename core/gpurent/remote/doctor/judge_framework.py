"""CUDA, cuDNN and the framework: what the convolution on the machine came to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from gpurent.domain.health import Finding, Verdict
from gpurent.locale import _
from gpurent.remote.doctor.script import CONVOLUTION
from gpurent.remote.doctor.troubles import Trouble, cudnn_version, recognise
from gpurent.remote.gpu import GpuReport
from gpurent.remote.shell import Section, marked_lines

_MARK = "gpurent-convolution:"
_SIGILL, _SIGSEGV = 128 + 4, 128 + 11
_AGAIN = "gpurent doctor LEASE"
MOST = 200


@frozen(kw_only=True)
class Trial:
    """How far the convolution came. ``stages``: what it reported, in order; ``said``: everything that it printed."""

    python: str = ""
    stages: tuple[Mapping[str, Any], ...] = ()
    status: int | None = 0
    said: str = ""

    def stage(self, name: str) -> Mapping[str, Any]:
        return next((stage for stage in self.stages if stage["stage"] == name), {})

    @property
    def devices(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(stage for stage in self.stages if stage["stage"] == "device")

    @property
    def gpus(self) -> int:
        """On how many GPUs it went well."""
        return sum("error" not in device for device in self.devices)

    @property
    def cudnn(self) -> str:
        given = self.stage("import").get("cudnn")
        if isinstance(given, int) and 1000 <= given < 10**7:
            return cudnn_version(given)
        return _word(given, r"\d[\d.]{0,15}")

    @property
    def name(self) -> str:
        """ "torch 2.1.0, CUDA 12.1, cuDNN 8.9.2"."""
        imported = self.stage("import")
        if not imported:
            return ""
        framework = _word(imported.get("framework"), r"[a-z]{2,20}")
        parts = [f"{framework} {_word(imported.get('version'), r'[0-9A-Za-z.+-]{1,40}')}"]
        cuda = _word(imported.get("cuda"), r"\d[\d.]{0,15}")
        parts += [f"CUDA {cuda}"] if cuda else []
        parts += [f"cuDNN {self.cudnn}"] if self.cudnn else []
        return ", ".join(parts)


def trial(sections: Mapping[str, Section]) -> Trial:
    """The one trial of an examination; empty when there was no framework to try."""
    for name, section in sections.items():
        kind, _space, python = name.partition(" ")
        if kind == "convolution":
            return Trial(
                python=python,
                stages=_stages(section.out),
                status=section.status,
                said=f"{section.out}\n{section.err}",
            )
    return Trial()


def _stages(out: str) -> tuple[Mapping[str, Any], ...]:
    found = []
    for line in marked_lines(out, _MARK):
        try:
            stage = json.loads(line[:4000])
        except (ValueError, RecursionError):
            continue
        if isinstance(stage, dict) and isinstance(stage.get("stage"), str):
            found.append(stage)
    return tuple(found[:MOST])


def _word(value: object, form: str) -> str:
    return value if isinstance(value, str) and re.fullmatch(form, value, re.ASCII) else ""


def installed_cudnn(sections: Mapping[str, Section]) -> str:
    """The system's own cuDNN by its header, or by the name of the library that the loader finds."""
    header = sections["header"].out.split() if "header" in sections else []
    if len(header) == 3 and all(part.isascii() and part.isdecimal() and len(part) < 4 for part in header):
        return ".".join(header)
    library = sections["libraries"].out if "libraries" in sections else ""
    versions = re.findall(r"libcudnn\.so\.(\d{1,3}(?:\.\d{1,3}){0,2})\b", library, re.ASCII)
    return max(versions, key=len, default="")


def findings(
    sections: Mapping[str, Section], report: GpuReport, toolkit: str, tried: Trial, python: str, gpus: int
) -> Iterator[Finding]:
    """``python`` is the job's own, ``gpus`` how many are paid for."""
    yield _cuda(report, toolkit)
    if not tried.python:
        yield _no_framework(sections)
        return
    if tried.python != python and python:
        yield Finding(
            check="framework",
            verdict=Verdict.WARNING,
            text=_("{python} has no framework; {other} has: {framework}").format(
                python=python, other=tried.python, framework=tried.name or "-"
            ),
            do=_("Start the job by that Python, or install the framework for the other."),
            cause="other-python",
        )
    elif tried.name:
        yield Finding(check="framework", verdict=Verdict.OK, text=f"{tried.name} ({tried.python})")
    result = _convolution(tried, bool(gpus or report.gpus))
    yield result
    if result.check != "cudnn":
        yield Finding(
            check="cudnn",
            verdict=Verdict.UNCHECKED,
            text=_("not checked: no convolution could be made on the GPU, see the others"),
        )


def _cuda(report: GpuReport, toolkit: str) -> Finding:
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


def _no_framework(sections: Mapping[str, Section]) -> Finding:
    asked = [name.partition(" ")[2] for name in sections if name.startswith("which ")]
    version = installed_cudnn(sections)
    there = " " + _("cuDNN {version} is installed.").format(version=version) if version else ""
    text = _(
        "not checked: neither PyTorch nor TensorFlow is there to make a convolution ({pythons})."
    ).format(pythons=", ".join(asked) or _("no Python 3"))
    return Finding(
        check="cudnn",
        verdict=Verdict.UNCHECKED,
        text=text + there,
        do=_("Once one is installed, ask again: {command}").format(command=_AGAIN),
    )


def _convolution(tried: Trial, expected: bool) -> Finding:
    wrong = [device for device in tried.devices if "error" in device]
    if wrong:
        return _failed(tried, [str(device["error"]) for device in wrong])
    if tried.status is None:
        return _hung(tried)
    if tried.status or not tried.stage("end"):
        return _crashed(tried)
    if failed := tried.stage("failed"):
        trouble = recognise(f"{failed.get('error')}\n{tried.said}")
        return _named(trouble, Verdict.FAILURE) if trouble else _unknown(failed.get("error"), Verdict.WARNING)
    if not tried.gpus:
        return _no_gpu(tried, expected)
    return Finding(
        check="cudnn",
        verdict=Verdict.OK,
        text=_("a convolution forward and backward went well on {n} GPU(s): {framework}").format(
            n=tried.gpus, framework=tried.name
        ),
    )


def _no_gpu(tried: Trial, expected: bool) -> Finding:
    """The framework works and sees no GPU."""
    trouble = recognise(f"{tried.stage('gpus').get('error', '')}\n{tried.said}")
    if not expected:
        return Finding(
            check="cudnn",
            verdict=Verdict.UNCHECKED,
            text=_(
                "not checked: no GPU is here. On the processor a convolution went well: {framework}"
            ).format(framework=tried.name),
        )
    if trouble is None:
        return _unknown(tried.stage("gpus").get("error") or _("the framework sees no GPU"), Verdict.FAILURE)
    # The machine is well when only its software is for processors: a job may bring its own.
    return _named(trouble, Verdict.WARNING if trouble.cause == "no-cuda-build" else Verdict.FAILURE)


def _failed(tried: Trial, errors: Sequence[str]) -> Finding:
    # The framework's own log names the cause where the exception only complains.
    text = "\n".join(errors)
    plain, whole = recognise(text), recognise(f"{tried.said}\n{text}")
    trouble = whole if plain is None or plain.check == "cudnn" else plain
    return _named(trouble, Verdict.FAILURE) if trouble else _unknown(errors[0], Verdict.FAILURE)


def _hung(tried: Trial) -> Finding:
    if tried.stage("cpu"):
        return Finding(
            check="cudnn",
            verdict=Verdict.FAILURE,
            text=_("the convolution on the GPU did not end in {seconds} s").format(seconds=CONVOLUTION),
            do=_("The GPU or its driver hangs: give the machine back, take another one."),
            cause="gpu-hangs",
        )
    return Finding(
        check="cudnn",
        verdict=Verdict.UNCHECKED,
        text=_("not checked: the framework did not load in {seconds} s").format(seconds=CONVOLUTION),
        do=_("The disk may be slow. Ask again: {command}").format(command=_AGAIN),
        cause="slow-load",
    )


def _crashed(tried: Trial) -> Finding:
    trouble = recognise(tried.said)
    if trouble is not None:
        return _named(trouble, Verdict.FAILURE)
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
            what=what, status=status, stage=_word(reached, r"[a-z]{1,12}") or "-"
        ),
        do=_(
            "Parts that do not fit together often end so. Try another build of the framework, or another machine."
        ),
        cause="crash" if status != _SIGSEGV else "segfault",
    )


def _named(trouble: Trouble, verdict: Verdict) -> Finding:
    return Finding(
        check=trouble.check, verdict=verdict, text=trouble.text, do=trouble.do, cause=trouble.cause
    )


def _unknown(error: object, verdict: Verdict) -> Finding:
    said = " ".join(str(error or "-").split())[:200]
    return Finding(
        check="cudnn",
        verdict=verdict,
        text=_("the framework fails: {said}").format(said=said if said.isprintable() else "-"),
        do=_("Search for these words together with its name."),
    )
