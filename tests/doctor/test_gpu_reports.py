"""Output of nvidia-smi in all forms and versions; hostile output too."""

from __future__ import annotations

from random import Random

import pytest

from gpurent.domain.machine_facts import Gpu
from gpurent.remote.doctor.gpu_findings import is_same_gpu
from gpurent.remote.nvidia_smi import GpuReport, parse_csv, parse_table, parse_xml
from tests.doctor.recorded_answers import ANSWERS, read_answer


def test_the_three_forms_of_2020_agree() -> None:
    idle = Gpu(name="GeForce GTX 1080 Ti", memory=11178, used=0, utilization=0)
    taken = Gpu(name="GeForce GTX 1080 Ti", memory=11178, used=9873, utilization=97)
    xml = parse_xml(read_answer("1080ti-440.xml"))
    assert xml is not None
    assert (xml.driver, xml.cuda) == ("440.33.01", "10.2")
    assert xml.gpus[0] == idle
    assert xml.gpus[1].processes == ("20817 python",)
    assert parse_csv(read_answer("1080ti-440.csv")) == GpuReport(driver="440.33.01", gpus=(idle, taken))
    table = parse_table(read_answer("1080ti-440.txt"))
    assert table is not None
    assert (table.driver, table.cuda) == ("440.33.01", "10.2")
    assert [(gpu.name, gpu.memory, gpu.used, gpu.utilization) for gpu in table.gpus] == [
        ("GeForce GTX 108", 11178, 0, 0),
        ("GeForce GTX 108", 11178, 9873, 97),
    ]
    assert any("20817 python" in gpu.processes for gpu in table.gpus)


@pytest.mark.parametrize(
    ("machine", "driver", "cuda", "name", "memory"),
    [
        ("v100-410", "410.104", "10.0", "Tesla V100-SXM2-16GB", 16130),
        ("a100mig-450", "450.80.02", "11.0", "A100-SXM4-40GB", 40537),
        ("h100-550", "550.54.15", "12.4", "NVIDIA H100 80GB HBM3", 81559),
    ],
)
def test_xml_of_every_generation(machine: str, driver: str, cuda: str, name: str, memory: int) -> None:
    found = parse_xml(read_answer(f"{machine}.xml"))
    assert found is not None
    assert (found.driver, found.cuda) == (driver, cuda)
    assert [(gpu.name, gpu.memory) for gpu in found.gpus] == [(name, memory)]
    assert found.gpus[0].mig is ("mig" in machine)
    assert found.gpus[0].ecc == (2 if "v100" in machine else 0)
    assert found.gpus[0].retiring is ("v100" in machine)


@pytest.mark.parametrize("machine", ["a100mig-450", "h100-550"])
def test_table_and_xml_agree(machine: str) -> None:
    table, xml = parse_table(read_answer(f"{machine}.txt")), parse_xml(read_answer(f"{machine}.xml"))
    assert table is not None
    assert xml is not None
    assert (table.driver, table.cuda) == (xml.driver, xml.cuda)
    assert [(gpu.name, gpu.memory, gpu.used) for gpu in table.gpus] == [
        (gpu.name, gpu.memory, gpu.used) for gpu in xml.gpus
    ]


def test_a_lost_gpu_is_seen_in_table_and_csv() -> None:
    table = parse_table(read_answer("3090err-470.txt"))
    csv = parse_csv(read_answer("3090err-470.csv"))
    assert table is not None
    assert csv is not None
    assert [gpu.broken for gpu in table.gpus] == [False, True]
    assert [gpu.broken for gpu in csv.gpus] == [False, True]


def test_hostile_xml_is_refused() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><nvidia_smi_log>&b;</nvidia_smi_log>'
    assert parse_xml(bomb) is None, "an entity that nobody declared any more"
    inside = "<nvidia_smi_log><!DOCTYPE x [<!ENTITY a 'a'>]></nvidia_smi_log>"
    assert parse_xml(inside) is None
    many = f"<nvidia_smi_log>{'<gpu/>' * 5000}</nvidia_smi_log>"
    found = parse_xml(many)
    assert found is not None
    assert len(found.gpus) == 64
    escape = read_answer("1080ti-440.xml").replace("GeForce GTX 1080 Ti", "&#27;[2Jowned")
    owned = parse_xml(escape)
    assert owned is None or [gpu.name for gpu in owned.gpus] == ["?", "?"]


def test_parsers_never_fail() -> None:
    random = Random(5)
    texts = [path.read_text() for path in sorted(ANSWERS.iterdir()) if path.suffix != ".md"]
    for _round in range(600):
        text = random.choice(texts)
        begin = random.randrange(len(text))
        garbage = "".join(random.choices("<>&|\"',\x00\x1b９ERR!MiB%/0", k=random.randrange(30)))
        text = text[:begin] + garbage + text[begin + random.randrange(200) :]
        for found in (parse_xml(text), parse_csv(text), parse_table(text)):
            assert all(gpu.name.isprintable() for gpu in (found.gpus if found else ()))


@pytest.mark.parametrize(
    ("ordered", "seen", "same"),
    [
        ("1080Ti", "GeForce GTX 1080 Ti", True),
        ("2080Ti", "NVIDIA GeForce RTX 2080 Ti", True),
        ("2080", "GeForce RTX 2080 Ti", False),
        ("Titan RTX", "TITAN RTX", True),
        ("V100", "Tesla V100-SXM2-16GB", True),
        ("A100", "Tesla V100-SXM2-16GB", False),
        ("RTX 3090 24G", "NVIDIA GeForce RTX 3090", True),
        ("T4", "Tesla T4", True),
        ("XP", "TITAN Xp", True),
        ("2070", "GeForce RTX 2070 SUPER", False),
        ("", "Tesla T4", True),
    ],
)
def test_provider_and_driver_names_of_one_gpu(ordered: str, seen: str, same: bool) -> None:
    assert is_same_gpu(ordered, seen) is same
