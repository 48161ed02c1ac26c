"""What the doctor reads from drivers of the branches 470 to 580, and from the renamed banner of later ones."""

from __future__ import annotations

import pytest

from gpurent.domain.health import Verdict
from gpurent.domain.machine_facts import Gpu
from gpurent.remote.doctor.health_report import ExpectedMachine
from gpurent.remote.gpu_readings import GpuReading, parse_readings
from gpurent.remote.nvidia_smi import GpuReport, parse_csv, parse_report, parse_table, parse_xml
from tests.doctor.recorded_answers import (
    ANSWERS,
    evaluate_answers,
    find_finding,
    make_smi_sections,
    read_answer,
)

REPORTS = {
    "t4-470": GpuReport(
        driver="470.63.01", cuda="11.4", gpus=(Gpu(name="Tesla T4", memory=15109, used=0, utilization=0),)
    ),
    "a10g-515": GpuReport(
        driver="515.105.01",
        cuda="11.7",
        gpus=(Gpu(name="NVIDIA A10G", memory=23028, used=22, utilization=0),),
    ),
    "a100mig-535": GpuReport(
        driver="535.54.03",
        cuda="12.2",
        gpus=(Gpu(name="NVIDIA A100-SXM4-80GB", memory=81920, used=50, mig=True),),
    ),
    "3090-545": GpuReport(
        driver="545.23.08",
        cuda="12.3",
        gpus=tuple(
            Gpu(
                name="NVIDIA GeForce RTX 3090",
                memory=24576,
                used=18311,
                utilization=100,
                broken=broken,
                processes=("4021 python3",),
            )
            for broken in (False, True)
        ),
    ),
    "4090-560": GpuReport(
        driver="560.35.03",
        cuda="12.6",
        gpus=(
            Gpu(
                name="NVIDIA GeForce RTX 4090",
                memory=24564,
                used=21047,
                utilization=100,
                processes=("911 python",),
            ),
        ),
    ),
    "5090-570": GpuReport(
        driver="570.195.03",
        cuda="12.8",
        gpus=(Gpu(name="NVIDIA GeForce RTX 5090", memory=32607, used=30210, utilization=99),),
    ),
    "h100x2-580": GpuReport(
        driver="580.95.05",
        cuda="13.0",
        gpus=tuple(
            Gpu(
                name="NVIDIA H100 80GB HBM3",
                memory=81559,
                used=18903,
                utilization=25,
                broken=broken,
                processes=("4935 python3",),
            )
            for broken in (False, True)
        ),
    ),
    "gb10-580": GpuReport(
        driver="580.95.05",
        cuda="13.0",
        gpus=(Gpu(name="NVIDIA GB10", utilization=10, processes=("4174 Xorg",)),),
    ),
}


@pytest.mark.parametrize("machine", REPORTS)
def test_the_full_report(machine: str) -> None:
    assert parse_xml(read_answer(f"{machine}.xml")) == REPORTS[machine]


@pytest.mark.parametrize("machine", [name for name in REPORTS if (ANSWERS / f"{name}.txt").exists()])
def test_the_table_has_the_same_figures(machine: str) -> None:
    table = parse_table(read_answer(f"{machine}.txt"))
    wanted = REPORTS[machine]
    assert table is not None
    assert (table.driver, table.cuda) == (wanted.driver, wanted.cuda)
    shown = [(gpu.name, gpu.memory, gpu.used, gpu.utilization) for gpu in wanted.gpus]
    # Without a size of its memory, the table's row of usage has another form.
    expected = [(name, memory, used, usage if memory else None) for name, memory, used, usage in shown]
    assert [(gpu.name, gpu.memory, gpu.used, gpu.utilization) for gpu in table.gpus] == expected
    holders = {process for gpu in wanted.gpus for process in gpu.processes}
    assert set(table.gpus[0].processes) == holders


@pytest.mark.parametrize("machine", [name for name in REPORTS if (ANSWERS / f"{name}.csv").exists()])
def test_the_lines_have_the_same_figures(machine: str) -> None:
    found, wanted = parse_csv(read_answer(f"{machine}.csv")), REPORTS[machine]
    assert found is not None
    assert found.driver == wanted.driver
    assert [(gpu.name, gpu.memory, gpu.used, gpu.utilization) for gpu in found.gpus] == [
        (gpu.name, gpu.memory, gpu.used, gpu.utilization) for gpu in wanted.gpus
    ]


def test_the_renamed_banner() -> None:
    found = parse_report("", "", read_answer("l40s-610.txt"))
    assert (found.driver, found.cuda) == ("610.43.02", "13.3")
    assert [gpu.name for gpu in found.gpus] == ["NVIDIA L40S"]


READINGS = {
    "t4-470": GpuReading(
        name="Tesla T4", power_limit=70, default_power_limit=70, clock=585, max_clock=1590, reasons=("gpu_idle",),
        gen=3, max_gen=3, lanes=16, max_lanes=16,
    ),
    "a10g-515": GpuReading(
        name="NVIDIA A10G", power_limit=300, default_power_limit=300, clock=210, max_clock=1710,
        reasons=("gpu_idle",), gen=1, max_gen=4, lanes=8, max_lanes=16,
    ),
    "a100mig-535": GpuReading(
        name="NVIDIA A100-SXM4-80GB", mig=True, power_limit=500, default_power_limit=500, clock=1275,
        max_clock=1410, gen=4, max_gen=4, lanes=16, max_lanes=16,
    ),
    "3090-545": GpuReading(
        name="NVIDIA GeForce RTX 3090", power_limit=250, default_power_limit=350, clock=1125, max_clock=2100,
        reasons=("sw_power_cap",), gen=4, max_gen=4, lanes=4, max_lanes=16,
    ),
    "4090-560": GpuReading(
        name="NVIDIA GeForce RTX 4090", power_limit=450, default_power_limit=450, clock=1230, max_clock=3105,
        reasons=("hw_slowdown", "hw_thermal_slowdown"), gen=4, max_gen=4, lanes=16, max_lanes=16,
    ),
    "5090-570": GpuReading(
        name="NVIDIA GeForce RTX 5090", power_limit=575, default_power_limit=575, clock=2407, max_clock=3090,
        reasons=("sw_power_cap",), gen=5, max_gen=5, lanes=16, max_lanes=16,
    ),
    "h100x2-580": GpuReading(
        name="NVIDIA H100 80GB HBM3", power_limit=700, default_power_limit=700, clock=1980, max_clock=1980,
        gen=5, max_gen=5, lanes=16, max_lanes=16,
    ),
    "gb10-580": GpuReading(name="NVIDIA GB10", clock=2411, max_clock=3003),
}  # fmt: skip


@pytest.mark.parametrize("machine", READINGS)
def test_power_clocks_and_bus(machine: str) -> None:
    assert parse_readings(read_answer(f"{machine}.xml"))[0] == READINGS[machine]


@pytest.mark.parametrize(
    ("machine", "gpu", "cause"),
    [
        ("t4-470", "T4", ""),
        ("a10g-515", "A10G", ""),
        ("a100mig-535", "A100", ""),
        ("3090-545", "3090", "gpu-lost"),
        ("4090-560", "4090", ""),
        ("5090-570", "5090", ""),
        ("h100x2-580", "H100", "gpu-lost"),
        ("gb10-580", "GB10", ""),
    ],
)
def test_the_verdict(machine: str, gpu: str, cause: str) -> None:
    wanted = ExpectedMachine(gpu=gpu, gpus=len(REPORTS[machine].gpus))
    health = evaluate_answers(make_smi_sections(machine), wanted=wanted)
    assert find_finding(health, "driver").verdict is Verdict.OK
    assert find_finding(health, "gpu").cause == cause
