"""How fast a machine is, from recorded readings, against what its offer and the makers promise."""

from __future__ import annotations

import json

import pytest

from gpurent.domain.gpu_figures import find_gpu_figures
from gpurent.domain.health import Finding, Verdict
from gpurent.remote.doctor.health_report import ExpectedMachine
from gpurent.remote.doctor.speed_findings import assess_performance
from gpurent.remote.doctor.speed_script import parse_performance_output
from tests.doctor.recorded_answers import read_answer

GB = 10**9
DD = "1073741824 bytes (1.1 GB, 1.0 GiB) copied, {seconds} s, 1 GB/s"


def make_section(name: str, out: str = "", err: str = "", status: int | str = 0) -> str:
    mark = "gpurent-performance:"
    return f"\n{mark}begin {name}\n{out}\n{mark}err {name}\n{err}\n{mark}end {name} {status}\n"


def make_speed_section(*stages: dict[str, object]) -> str:
    return make_section("speed python3", "\n".join(f"gpurent-speed:{json.dumps(stage)}" for stage in stages))


def make_gpu_stage(memory: float, up: float = 0.0, down: float = 0.0) -> dict[str, object]:
    """Return what is reported of a GPU, from GB/s."""
    rates = {"memory": memory, "up": up, "down": down}
    return {"stage": "gpu", "device": "cuda:0", **{name: round(rate * GB) for name, rate in rates.items()}}


def assess(*parts: str, gpu: str = "", disk: int = 0) -> dict[str, Finding]:
    sections = parse_performance_output("Welcome!\n" + "".join(parts))
    found = list(assess_performance(sections, ExpectedMachine(gpu=gpu, gpus=1, disk=disk)))
    assert len({one.check for one in found}) == len(found)
    return {one.check: one for one in found}


def under_load(machine: str) -> str:
    return make_section("smi-load", read_answer(f"{machine}.xml"))


def test_a_machine_that_is_as_fast_as_it_should_be() -> None:
    found = assess(
        under_load("5090-570"),
        make_speed_section({"stage": "gpus", "count": 1}, make_gpu_stage(1580, 52, 50), {"stage": "loaded"}),
        make_section("space home", "900000000 1900000000"),
        make_section("write home", err=DD.format(seconds="0.6")),
        make_section("read home", err=DD.format(seconds="0.3")),
        gpu="RTX 5090",
        disk=1500,
    )
    assert {check: one.verdict for check, one in found.items()} == dict.fromkeys(
        ("power", "clocks", "pcie", "gpu-bandwidth", "disk-throughput", "disk-size"), Verdict.OK
    )
    assert found["power"].text == "575 W of 575 W"
    assert found["clocks"].text == "2407 of 3090 MHz under load"
    assert found["pcie"].text == "generation 5, 16 lanes, 50.0 GB/s"
    assert found["gpu-bandwidth"].text == "1580 of 1792 GB/s"
    assert found["disk-throughput"].text == "~: writes 1790 MB/s, ~: reads 3579 MB/s"
    assert found["disk-size"].text == "rented: 1500 GiB; found: 1812 GiB"


@pytest.mark.parametrize(
    ("machine", "gpu", "check", "cause", "text"),
    [
        ("3090-545", "3090", "power", "power-capped", "250 W of 350 W"),
        ("3090-545", "3090", "clocks", "clocks-low", "1120 of 2100 MHz"),
        ("3090-545", "3090", "pcie", "pcie-slow", "generation 4, 4 of 16 lanes"),
        ("4090-560", "4090", "clocks", "gpu-throttled", "hw_slowdown, hw_thermal_slowdown"),
        ("t4-470", "4090", "power", "power-capped", "70 W of 450 W"),
    ],
)
def test_a_machine_that_is_slower_than_what_is_paid_for(
    machine: str, gpu: str, check: str, cause: str, text: str
) -> None:
    found = assess(under_load(machine), gpu=gpu)[check]
    assert (found.verdict, found.cause) == (Verdict.WARNING, cause)
    assert text in found.text
    assert found.advice


def test_slow_copies() -> None:
    found = assess(
        under_load("h100x2-580"),
        make_speed_section(make_gpu_stage(2900, 50, 50), make_gpu_stage(1900, 50, 9)),
        gpu="H100 SXM",
    )
    assert found["gpu-bandwidth"].verdict is Verdict.OK, "an H100 may have 2,000 GB/s"
    assert found["pcie"].cause == "pcie-slow"
    found = assess(under_load("h100x2-580"), make_speed_section(make_gpu_stage(1900)), gpu="H100 80GB HBM3")
    assert found["gpu-bandwidth"].cause == "memory-slow"


def test_an_idle_gpu_is_not_blamed_for_saving_power() -> None:
    idle = make_section("smi-idle", read_answer("a10g-515.xml"))
    found = assess(idle, gpu="A10G")
    assert found["pcie"].verdict is Verdict.OK
    assert found["pcie"].text == "generation 4, 16 lanes"
    assert found["clocks"].verdict is Verdict.UNCHECKED
    assert "PyTorch" in found["clocks"].text
    assert found["power"].verdict is Verdict.OK


def test_a_part_of_a_gpu_is_compared_with_nothing() -> None:
    found = assess(under_load("a100mig-535"), make_speed_section(make_gpu_stage(400)), gpu="A100")
    assert found["gpu-bandwidth"].verdict is Verdict.OK
    assert found["gpu-bandwidth"].text == "400 GB/s"


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        ({"stage": "gpus", "count": 0}, "sees no GPU"),
        ({"stage": "failed", "error": "RuntimeError: CUDA out of memory"}, "CUDA out of memory"),
        ({"stage": "failed", "error": "bell\u0007"}, "failed: -"),
        ({"stage": "gpus", "count": 1}, "did not finish"),
        ({"stage": "gpu", "memory": "fast"}, "did not finish"),
        ({"stage": "gpu", "memory": -5}, "did not finish"),
    ],
)
def test_why_nothing_was_measured(stage: dict[str, object], text: str) -> None:
    found = assess(make_speed_section(stage))["gpu-bandwidth"]
    assert found.verdict is Verdict.UNCHECKED
    assert text in found.text


def test_nothing_at_all() -> None:
    found = assess("what?", disk=100)
    assert {one.verdict for one in found.values()} == {Verdict.UNCHECKED}
    assert len(found) == 6


@pytest.mark.parametrize(
    ("write", "read", "cause"), [("60", "0.5", "disk-slow"), ("5", "30", "disk-slow"), ("5", "5", "")]
)
def test_the_disk(write: str, read: str, cause: str) -> None:
    found = assess(
        make_section("write data", err=DD.format(seconds=write)),
        make_section("read data", err=DD.format(seconds=read)),
    )
    assert found["disk-throughput"].cause == cause
    assert found["disk-throughput"].text.startswith("/data: writes ")


def test_a_smaller_disk() -> None:
    found = assess(make_section("space home", "1000 20000000"), make_section("space data", "5 5"), disk=100)
    assert found["disk-size"].cause == "disk-small"


@pytest.mark.parametrize(
    ("name", "bandwidth", "power"),
    [
        ("NVIDIA H100 80GB HBM3", 3350, 700),
        ("H100", 2000, 350),
        ("NVIDIA A100-SXM4-80GB", 1935, 300),
        ("A100 80G", 1935, 300),
        ("NVIDIA A100-PCIE-40GB", 1555, 250),
        ("2080Ti", 616, 250),
        ("NVIDIA GeForce RTX 4090 D", 1008, 425),
        ("NVIDIA RTX 6000 Ada Generation", 960, 300),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", 1792, 300),
    ],
)
def test_the_figures_of_a_name(name: str, bandwidth: int, power: int) -> None:
    found = find_gpu_figures(name)
    assert found is not None
    assert (found.bandwidth, found.power) == (bandwidth, power)


@pytest.mark.parametrize("name", ["", "Quadro RTX 6000", "RTX 3080 Laptop", "RTX 3060 Ti", "Instinct MI300X"])
def test_an_unknown_name_has_no_figures(name: str) -> None:
    assert find_gpu_figures(name) is None
