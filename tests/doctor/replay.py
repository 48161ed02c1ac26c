"""The machine's answers as the far script frames them, from texts in `answers/`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from gpurent.domain.health import Finding, Health
from gpurent.remote.doctor.judge import Wanted, judge
from gpurent.remote.doctor.script import Measured, parse_answer
from gpurent.remote.shell import Section

ANSWERS = Path(__file__).with_name("answers")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
QUICK = Measured(ahead=0.2, margin=0.6, up=5e6, down=9e6)
SURVEY = """
gpurent-found:user root
gpurent-found:python python3 3.6.9
gpurent-found:python python 2.7.17
gpurent-found:cuda 10.1
gpurent-found:home 90000000 200000000
gpurent-found:end ok
"""


def answer(name: str) -> str:
    return (ANSWERS / name).read_text("utf-8")


def section(name: str, out: str = "", err: str = "", status: int | str = 0) -> str:
    mark = "gpurent-doctor:"
    return f"\n{mark}begin {name}\n{out}\n{mark}err {name}\n{err}\n{mark}end {name} {status}\n"


def smi(machine: str) -> str:
    """The three forms of one machine, as far as they are there; a form that is not there failed."""
    forms = {"smi-xml": f"{machine}.xml", "smi": f"{machine}.txt", "smi-csv": f"{machine}.csv"}
    return "".join(
        section(form, answer(name)) if (ANSWERS / name).exists() else section(form, status=2)
        for form, name in forms.items()
    )


def convolved(*stages: Mapping[str, object], err: str = "", status: int | str = 0) -> str:
    """A trial by python3 that told ``stages``."""
    lines = [f"gpurent-convolution:{json.dumps(stage)}" for stage in stages]
    which = section("which python3", "torch")
    return which + section("convolution python3", "\n".join(lines), err, status)


TORCH = {"stage": "import", "framework": "torch", "version": "1.4.0", "cuda": "10.1", "cudnn": 7603}
TENSORFLOW = {"stage": "import", "framework": "tensorflow", "version": "1.14.0", "cuda": "", "cudnn": ""}
CPU = {"stage": "cpu", "seconds": 0.01}
GPUS = {"stage": "gpus", "count": 1}
END = {"stage": "end"}


def examined(
    *parts: str, wanted: Wanted | None = None, measured: Measured = QUICK, survey: str = SURVEY
) -> Health:
    """What the doctor says to these answers; the rest of the machine is well."""
    rest = section("survey", survey) + section("nodes", "1") + section("home", "yes")
    text = "Welcome!\n" + "".join(parts) + rest + section("end", "none")
    return judge(NOW, parse_answer(text), measured, wanted or Wanted(gpu="1080Ti", gpus=1))


def finding(health: Health, check: str) -> Finding:
    """The first finding on a subject."""
    return next(one for one in health.findings if one.check == check)


def sections(text: str) -> Mapping[str, Section]:
    return parse_answer(text)
