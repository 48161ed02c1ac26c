"""Each field of the three reports of nvidia-smi, and which report is believed."""

from __future__ import annotations

import pytest
from attrs import evolve

from gpurent.domain.machine_facts import Gpu
from gpurent.remote.nvidia_smi import (
    CSV_FIELDS,
    MAX_GPUS,
    GpuReport,
    parse_csv,
    parse_loads,
    parse_report,
    parse_table,
    parse_xml,
)

FULL = {
    "product_name": " NVIDIA A100 ",
    "fb_memory_usage/total": "40537 MiB",
    "fb_memory_usage/used": "7 MiB",
    "utilization/gpu_util": "97 %",
}
PROCESS = "<process_info><pid>{pid}</pid><process_name>{name}</process_name></process_info>"


def make_element(path: str, text: str) -> str:
    name, _slash, rest = path.partition("/")
    return f"<{name}>{make_element(rest, text) if rest else text}</{name}>"


def make_xml(
    *gpus: dict[str, str], processes: str = "", driver: str = "450.80.02", cuda: str = "11.0"
) -> str:
    body = "".join(
        f"<gpu>{''.join(make_element(path, text) for path, text in gpu.items())}"
        f"<processes>{processes}</processes></gpu>"
        for gpu in gpus
    )
    head = f"<driver_version> {driver} </driver_version><cuda_version>{cuda}</cuda_version>"
    return f"<?xml version='1.0'?>\n<nvidia_smi_log>{head}{body}</nvidia_smi_log>\nbye"


def read_gpu(**changes: str) -> Gpu:
    gpu = {**FULL, **{path.replace("__", "/"): text for path, text in changes.items()}}
    report = parse_xml(make_xml(gpu))
    assert report is not None
    return report.gpus[0]


GPU = Gpu(name="NVIDIA A100", memory=40537, used=7, utilization=97)


def test_an_xml_report() -> None:
    report = GpuReport(driver="450.80.02", cuda="11.0", gpus=(GPU, evolve(GPU, name="?", memory=None)))
    other = {**FULL, "product_name": "\x85", "fb_memory_usage/total": "N/A"}
    assert parse_xml(make_xml(FULL, other)) == report
    assert parse_xml(make_xml(driver="1", cuda="")) == GpuReport()
    assert parse_xml(make_xml(*[FULL] * (MAX_GPUS + 1))) == evolve(report, gpus=(GPU,) * MAX_GPUS)
    assert parse_xml(make_xml(FULL) + make_xml(driver="1.0")) == evolve(report, gpus=(GPU,)), (
        "the first counts"
    )
    assert parse_xml("<nvidia_smi_log></nvidia_smi_log>") == GpuReport()
    assert parse_xml("<nvidia_smi_log><gpu/></nvidia_smi_log>") == GpuReport(gpus=(Gpu(name="?"),))


@pytest.mark.parametrize(
    "text",
    ["", "<nvidia_smi_log>", "</nvidia_smi_log>", "</nvidia_smi_log><nvidia_smi_log>",
     "<nvidia_smi_log><gpu></nvidia_smi_log>", "<nvidia_smi_log><!-- x --></nvidia_smi_log>"],
)  # fmt: skip
def test_what_is_no_xml_report(text: str) -> None:
    assert parse_xml(text) is None


@pytest.mark.parametrize(("text", "is_on"), [(" Enabled ", True), ("Disabled", False), ("N/A", False)])
def test_a_divided_gpu(text: str, is_on: bool) -> None:
    assert read_gpu(mig_mode__current_mig=text) == evolve(GPU, mig=is_on)


@pytest.mark.parametrize("path", ["fan_speed", "uuid", "gpu_recovery_action"])
@pytest.mark.parametrize(
    "text", ["ERR!", "GPU is lost", "unknown error", "GPU requires reset", "Reset Required"]
)
def test_a_lost_gpu(path: str, text: str) -> None:
    assert read_gpu(**{path: f"[{text}]"}) == evolve(GPU, broken=True)
    assert read_gpu(**{path: "None"}) == GPU


def test_a_lost_gpu_reports_an_error_for_its_memory_or_name() -> None:
    assert read_gpu(fb_memory_usage__total="ERR!") == evolve(GPU, memory=None, broken=True)
    assert read_gpu(fb_memory_usage__total="\u0661 MiB") == evolve(GPU, memory=None)
    assert read_gpu(product_name="ERR!") == evolve(GPU, name="?", broken=True)


@pytest.mark.parametrize(
    ("counts", "ecc"),
    [
        ({"double_bit/total": "3", "sram_uncorrectable": "5"}, 3),
        ({"double_bit/total": "N/A", "sram_uncorrectable": "5", "dram_uncorrectable": "2"}, 7),
        (
            {"sram_uncorrectable_parity": "1", "sram_uncorrectable_secded": "10", "dram_uncorrectable": "x"},
            11,
        ),
        ({"sram_correctable": "4"}, 0),
    ],
)
def test_uncorrected_memory_errors(counts: dict[str, str], ecc: int) -> None:
    body = "".join(make_element(path, text) for path, text in counts.items())
    assert read_gpu(ecc_errors__volatile=body) == evolve(GPU, ecc=ecc)


@pytest.mark.parametrize(
    "path",
    ["retired_pages/pending_retirement", "retired_pages/pending_blacklist", "remapped_rows/remapped_row_pending",
     "remapped_rows/remapped_row_failure"],
)  # fmt: skip
def test_pages_that_wait_for_their_retirement(path: str) -> None:
    assert read_gpu(**{path: " Yes "}) == evolve(GPU, retiring=True)
    assert read_gpu(**{path: "No"}) == GPU


@pytest.mark.parametrize(
    ("pid", "name", "shown"),
    [
        (" 20817 ", "/usr/bin/python3 train.py /data", "20817 python3"),
        ("1", "x" * 41, f"1 {'x' * 40}"),
        ("9" * 11, "a", f"{'9' * 11} a"),
        ("9" * 12, "a", "? a"),
        ("\u0661", "\u0430", "? ?"),
        ("-5", "", "? ?"),
        ("", "  ", "? ?"),
        ("7", "a\x7f", "7 ?"),
    ],
)
def test_processes(pid: str, name: str, shown: str) -> None:
    report = parse_xml(make_xml(FULL, processes=PROCESS.format(pid=pid, name=name)))
    assert report is not None
    assert report.gpus == (evolve(GPU, processes=(shown,)),)


def test_processes_without_a_pid_or_name_and_too_many() -> None:
    report = parse_xml(
        make_xml(FULL, processes="<process_info/>" + PROCESS.format(pid=1, name="a") * MAX_GPUS)
    )
    assert report is not None
    assert report.gpus[0].processes == ("? ?", *["1 a"] * (MAX_GPUS - 1))


HEADER = ", ".join(f"{name} [unit]" for name in CSV_FIELDS)
CARD = "GeForce RTX 3090, 455.45.01, 24268 MiB, 10 MiB, 97 %, 2"
RTX = Gpu(name="GeForce RTX 3090", memory=24268, used=10, utilization=97, ecc=2)


def test_a_csv_report() -> None:
    other = "Tesla T4, 1.0, N/A, [Not Supported], 5 %, [N/A]"
    text = f"{HEADER}\n\n{CARD}\nshort, row\n{CARD}, more\n{other}\n"
    assert parse_csv(text) == GpuReport(driver="455.45.01", gpus=(RTX, Gpu(name="Tesla T4", utilization=5)))
    plain = f"{', '.join(CSV_FIELDS)}\n{CARD.replace('455.45.01', chr(34) + '455.45.01' + chr(34))}"
    assert parse_csv(plain) == GpuReport(driver="455.45.01", gpus=(RTX,)), "without units, and quoted"
    assert parse_csv(HEADER) == GpuReport()
    assert parse_csv(f"{HEADER}\n{CARD.replace('455.45.01', 'x')}") == GpuReport(gpus=(RTX,))
    many = parse_csv("\n".join([HEADER, *[CARD] * (MAX_GPUS + 1)]))
    assert many is not None
    assert many.gpus == (RTX,) * MAX_GPUS
    assert parse_csv(f"{HEADER}\n{CARD.replace('97 %', '[Unknown Error]')}") == GpuReport(
        driver="455.45.01", gpus=(evolve(RTX, utilization=None, broken=True),)
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        CARD,
        HEADER.replace("name", "id"),
        f"{HEADER}, more",
        HEADER.rpartition(",")[0],
        f"x\n{HEADER}",
    ],
)
def test_what_is_no_csv_report(text: str) -> None:
    assert parse_csv(text) is None


BANNER = "| NVIDIA-SMI 440.33    Driver Version: 440.33.01    CUDA Version: 10.2     |"
NAMED = "|   0  GeForce GTX 108...  Off  | 00000000:03:00.0 Off |                  N/A |"
USAGE = "| 23%   31C    P8     9W / 250W |    873MiB / 11178MiB |     97%      Default |"
HOLDER = "|    1     20817      C   /bin/python                                  9863MiB |"
GTX = Gpu(name="GeForce GTX 108", memory=11178, used=873, utilization=97)


def test_a_table() -> None:
    text = "\n".join([BANNER, NAMED, USAGE, "+---+", NAMED, USAGE.replace("97%", "N/A"), HOLDER, HOLDER])
    assert parse_table(text) == GpuReport(
        driver="440.33.01",
        cuda="10.2",
        gpus=(evolve(GTX, processes=("20817 python",) * 2), evolve(GTX, utilization=None)),
    )
    assert parse_table(BANNER.replace("    CUDA Version: 10.2", "")) == GpuReport(driver="440.33.01")
    assert parse_table(f"{BANNER}\n{NAMED}") == GpuReport(
        driver="440.33.01", cuda="10.2", gpus=(Gpu(name="GeForce GTX 108"),)
    )
    assert parse_table(f"{BANNER}\n{HOLDER}") == GpuReport(driver="440.33.01", cuda="10.2")
    assert parse_table(f"{NAMED}\n{USAGE}") is None


@pytest.mark.parametrize(("old", "new"), [("97%", "ERR!"), ("23%", "ERR!"), ("Off  |", "ERR!|")])
def test_a_lost_gpu_in_a_table(old: str, new: str) -> None:
    report = parse_table(f"{BANNER}\n{NAMED}\n{USAGE}".replace(old, new))
    assert report is not None
    assert [gpu.broken for gpu in report.gpus] == [True]


def test_a_table_is_limited() -> None:
    report = parse_table("\n".join([BANNER, *[NAMED, USAGE] * (MAX_GPUS + 1), *[HOLDER] * (MAX_GPUS + 1)]))
    assert report is not None
    assert len(report.gpus) == MAX_GPUS
    assert len(report.gpus[0].processes) == MAX_GPUS
    assert report.gpus[1] == GTX
    late = parse_table("\n".join([BANNER, *[""] * 20 * MAX_GPUS, NAMED]))
    assert late == GpuReport(driver="440.33.01", cuda="10.2")


def test_the_best_report_is_believed() -> None:
    xml, csv, table = (
        make_xml(FULL, driver="x", cuda=""),
        f"{HEADER}\n{CARD}",
        f"{BANNER}\n{NAMED}\n{USAGE}",
    )
    assert parse_report(xml, csv, table) == GpuReport(driver="440.33.01", cuda="10.2", gpus=(GPU,))
    assert parse_report(make_xml(FULL), csv, table) == GpuReport(driver="450.80.02", cuda="11.0", gpus=(GPU,))
    assert parse_report("", csv, table) == GpuReport(driver="455.45.01", cuda="10.2", gpus=(RTX,))
    assert parse_report(make_xml(), csv, "") == GpuReport(driver="455.45.01", gpus=(RTX,))
    assert parse_report("", "", table) == GpuReport(driver="440.33.01", cuda="10.2", gpus=(GTX,))
    assert parse_report(make_xml(), HEADER, "") == GpuReport(driver="450.80.02", cuda="11.0")
    assert parse_report("", "", "") == GpuReport()


def test_loads() -> None:
    assert parse_loads("17\n[N/A]\n 100\n1000\n-5\n\u0661\n5%\n0") == [17, 100, 0]
