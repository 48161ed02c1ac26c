"""The machine's answers as the remote script frames them, from texts in `answers/`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from gpurent.domain.health import Finding, HealthReport
from gpurent.remote.doctor.health_report import ExpectedMachine, make_health_report
from gpurent.remote.doctor.script import Measurements, parse_doctor_output
from gpurent.remote.shell import ProbeSection

ANSWERS = Path(__file__).with_name("answers")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
QUICK_CONNECTION = Measurements(clock_ahead=0.2, clock_margin=0.6, upload_rate=5e6, download_rate=9e6)
SURVEY_ANSWER = """
gpurent-found:user root
gpurent-found:python python3 3.6.9
gpurent-found:python python 2.7.17
gpurent-found:cuda 10.1
gpurent-found:home 90000000 200000000
gpurent-found:end ok
"""


def read_answer(name: str) -> str:
    return (ANSWERS / name).read_text("utf-8")


def make_section(name: str, out: str = "", err: str = "", status: int | str = 0) -> str:
    mark = "gpurent-doctor:"
    return f"\n{mark}begin {name}\n{out}\n{mark}err {name}\n{err}\n{mark}end {name} {status}\n"


def make_smi_sections(machine: str) -> str:
    """Return the three output forms of one machine; a form without a recording counts as failed."""
    forms = {"smi-xml": f"{machine}.xml", "smi": f"{machine}.txt", "smi-csv": f"{machine}.csv"}
    return "".join(
        make_section(form, read_answer(name)) if (ANSWERS / name).exists() else make_section(form, status=2)
        for form, name in forms.items()
    )


def make_convolution_section(*stages: Mapping[str, object], err: str = "", status: int | str = 0) -> str:
    """Return a convolution run by python3 that reported ``stages``."""
    lines = [f"gpurent-convolution:{json.dumps(stage)}" for stage in stages]
    which = make_section("which python3", "torch")
    return which + make_section("convolution python3", "\n".join(lines), err, status)


TORCH_STAGE = {"stage": "import", "framework": "torch", "version": "1.4.0", "cuda": "10.1", "cudnn": 7603}
TENSORFLOW_STAGE = {
    "stage": "import",
    "framework": "tensorflow",
    "version": "1.14.0",
    "cuda": "",
    "cudnn": "",
}
CPU_STAGE = {"stage": "cpu", "seconds": 0.01}
GPUS_STAGE = {"stage": "gpus", "count": 1}
END_STAGE = {"stage": "end"}


def evaluate_answers(
    *parts: str,
    wanted: ExpectedMachine | None = None,
    measured: Measurements = QUICK_CONNECTION,
    survey: str = SURVEY_ANSWER,
) -> HealthReport:
    """Return what the doctor reports for these answers; the rest of the machine is healthy."""
    rest = make_section("survey", survey) + make_section("nodes", "1") + make_section("home", "yes")
    text = "Welcome!\n" + "".join(parts) + rest + make_section("end", "none")
    return make_health_report(
        NOW, parse_doctor_output(text), measured, wanted or ExpectedMachine(gpu="1080Ti", gpus=1)
    )


def find_finding(health: HealthReport, check: str) -> Finding:
    """Return the first finding of a check."""
    return next(one for one in health.findings if one.check == check)


def parse_sections(text: str) -> Mapping[str, ProbeSection]:
    return parse_doctor_output(text)
