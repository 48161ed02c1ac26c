"""What a machine reports about itself is hostile: only strict forms are accepted, and nothing makes the parser fail."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from gpurent.domain.access import MachineProfile
from gpurent.domain.machine_facts import DiskSpace, Gpu, MachineFacts, PythonInterpreter, correct_profile
from gpurent.remote.machine_facts import MAX_ROWS, facts_command, is_facts_output_complete, parse_facts
from tests.remote.local_shell import run_here

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GOOD_ANSWER = """
Welcome to Ubuntu 18.04!
gpurent-found:user mist
gpurent-found:sudo passwordless
gpurent-found:system Ubuntu 18.04.6 LTS
gpurent-found:cpus 8
gpurent-found:memory 64301
gpurent-found:python python3 3.6.9
gpurent-found:python python 2.7.17
gpurent-found:python /home/mist/miniconda3/bin/python 3.9.1
gpurent-found:packages apt-get
gpurent-found:cuda 11.1
gpurent-found:card 455.45.01, 24268, GeForce RTX 3090
gpurent-found:card 455.45.01, 24268, GeForce RTX 3090
gpurent-found:home 1000 4000
gpurent-found:data 500 900
gpurent-found:end ok
"""


def test_complete_answer() -> None:
    assert is_facts_output_complete(GOOD_ANSWER)
    assert parse_facts(GOOD_ANSWER, NOW, "/data") == MachineFacts(
        at=NOW,
        user="mist",
        sudo="passwordless",
        system="Ubuntu 18.04.6 LTS",
        cpus=8,
        memory=64301,
        pythons=(
            PythonInterpreter(name="python3", version="3.6.9"),
            PythonInterpreter(name="python", version="2.7.17"),
            PythonInterpreter(name="/home/mist/miniconda3/bin/python", version="3.9.1"),
        ),
        cuda="11.1",
        driver="455.45.01",
        gpus=(Gpu(name="GeForce RTX 3090", memory=24268),) * 2,
        home=DiskSpace(path="~", free=1000 * 1024, total=4000 * 1024),
        data=DiskSpace(path="/data", free=500 * 1024, total=900 * 1024),
        package_manager="apt-get",
    )


@pytest.mark.parametrize(
    "line",
    [
        "user root; rm -rf /",
        "user -oProxyCommand=id",
        "user r\u043eot",
        "sudo yes",
        "system \x1b[2Jowned",
        "system $(id)",
        "cpus \uff18",
        "memory 1e9",
        "python python3; id 3.6.9",
        "python ../../bin/sh 3.6.9",
        "python /bin/sh -c id 3.6.9",
        "python python3 three",
        "packages apt-get install evil",
        "packages /bin/sh",
        "cuda 11.1\x00",
        "card 455.45, many, GPU",
        "card 455.45, 1, \u202egpj",
        "home 5 4",
        "data -1 4",
        "unknown word",
        "",
    ],
)
def test_invalid_values_are_omitted(line: str) -> None:
    assert parse_facts(f"gpurent-found:{line}\n", NOW) == MachineFacts(at=NOW)


def test_the_disks_are_those_of_the_home_and_the_data_folder(tmp_path: Path) -> None:
    assert parse_facts(GOOD_ANSWER, NOW).data == DiskSpace(path="/data", free=500 * 1024, total=900 * 1024)
    empty = parse_facts("gpurent-found:home 7 7\ngpurent-found:system  Debian X \n", NOW)
    assert empty == MachineFacts(
        at=NOW, home=DiskSpace(path="~", free=7 * 1024, total=7 * 1024), system="Debian X"
    )
    found = parse_facts(run_here(facts_command(str(tmp_path)), tmp_path), NOW, str(tmp_path))
    assert found.data is not None
    assert found.home is not None
    assert found.data.total == found.home.total


def test_first_value_counts_and_floods_are_truncated() -> None:
    assert parse_facts("gpurent-found:user mist\ngpurent-found:user root\n", NOW).user == "mist"
    flood = "gpurent-found:card 1.0, 1, GPU\n" * 100_000 + "gpurent-found:end ok\n"
    assert len(parse_facts(flood, NOW).gpus) <= MAX_ROWS
    assert not is_facts_output_complete(flood), "an end far behind the limit was not seen"


def test_random_answers_never_fail() -> None:
    random = Random(7)
    pieces = [
        *GOOD_ANSWER.split("\n"),
        "gpurent-found:",
        " ",
        "\r",
        "\0",
        "\x1b",
        "9" * 400,
        "a" * 300,
        "\ud800",
        ",",
    ]
    for _ in range(3000):
        text = "\n".join(random.choices(pieces, k=12))
        position = random.randrange(len(text) + 1)
        found = parse_facts(text[:position] + random.choice(pieces) + text[position:], NOW)
        assert str(found).isprintable()


def test_the_script_runs_under_plain_sh_and_comes_to_its_end(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", facts_command("/nowhere at all")],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    found = parse_facts(done.stdout, NOW, "/nowhere at all")
    assert is_facts_output_complete(done.stdout)
    assert found.user
    assert found.cpus > 0
    assert found.home is not None
    assert found.data is None
    assert any(python.version.startswith("3.") for python in found.pythons)


PROVIDER_PROFILE = MachineProfile(
    user="mist", data_dir="/data", install_prefix="sudo apt-get install -y", files_kept_for=timedelta(days=15)
)


def make_facts(**facts: object) -> MachineFacts:
    return MachineFacts(at=NOW, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "python", "install", "data"),
    [
        ({}, "python3", "sudo apt-get install -y", ""),
        ({"sudo": "root", "package_manager": "apt-get"}, "python3", "apt-get install -y", ""),
        ({"sudo": "passwordless", "package_manager": "dnf"}, "python3", "sudo dnf install -y", ""),
        ({"sudo": "password", "package_manager": "apt-get"}, "python3", "", ""),
        ({"sudo": "", "package_manager": "apk"}, "python3", "", ""),
        (
            {"pythons": (PythonInterpreter(name="python", version="3.9.1"),)},
            "python",
            "sudo apt-get install -y",
            "",
        ),
        (
            {"pythons": (PythonInterpreter(name="python", version="2.7.1"),)},
            "python3",
            "sudo apt-get install -y",
            "",
        ),
        ({"data": DiskSpace(path="/data", free=1, total=2)}, "python3", "sudo apt-get install -y", "/data"),
    ],
)
def test_the_profile_follows_what_was_found(
    facts: dict[str, object], python: str, install: str, data: str
) -> None:
    profile = correct_profile(PROVIDER_PROFILE, make_facts(**facts))
    assert (profile.python, profile.install_prefix, profile.data_dir) == (python, install, data)
    assert profile.files_kept_for == PROVIDER_PROFILE.files_kept_for
    assert correct_profile(PROVIDER_PROFILE, None) is PROVIDER_PROFILE
