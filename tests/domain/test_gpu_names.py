from __future__ import annotations

import pytest

from gpurent.domain.gpu_names import matches_gpu

SPELLINGS = {
    "4090": (
        "RTX 4090",
        "4090",
        "RTX_4090",
        "NVIDIA GeForce RTX 4090",
        "rtx4090",
        "GeForceRTX4090",
        "NVIDIA-RTX-4090",
    ),
    "2080ti": (
        "2080Ti",
        "RTX 2080 Ti",
        "GeForce RTX 2080 Ti",
        "RTX_2080_Ti",
        "2080TI",
        "RTX2080Ti",
        "２０８０Ｔｉ",
    ),
    "4090d": ("4090D", "RTX 4090 D", "RTX_4090D"),
    "a100": ("A100", "NVIDIA A100", "Tesla A100", "A100 SXM4 80GB", "A100-SXM4-80GB", "A100_PCIE"),
    "4070tisuper": ("RTX 4070 Ti Super", "4070TiSuper", "RTX_4070_Ti_SUPER"),
    "titan": ("Titan RTX", "TITAN"),
    "gtx1080": ("GTX 1080", "GeForce GTX 1080"),
    "a6000": ("RTX A6000", "A6000"),
    "6000ada": ("RTX 6000 Ada", "NVIDIA RTX 6000 Ada Generation"),
}
NAMES = [(model, name) for model, names in SPELLINGS.items() for name in names]


@pytest.mark.parametrize(("model", "name"), NAMES)
def test_the_first_spelling_finds_every_other_one_and_no_other_model(model: str, name: str) -> None:
    found = [(other, offered) for other, offered in NAMES if matches_gpu(SPELLINGS[model][0], offered)]
    assert (model, name) in found
    assert {other for other, _offered in found} == {model}


@pytest.mark.parametrize(("model", "name"), [item for item in NAMES if item[0] not in ("a100", "6000ada")])
def test_every_spelling_finds_the_first_one(model: str, name: str) -> None:
    assert matches_gpu(name, SPELLINGS[model][0])
    assert not any(matches_gpu(name, SPELLINGS[other][0]) for other in SPELLINGS if other != model)


@pytest.mark.parametrize(
    ("wanted", "has", "is_meant"),
    [
        ("", "RTX 4090", True),
        ("A100 80GB", "A100-SXM4-80GB", True),
        ("A100 40GB", "A100-SXM4-80GB", False),
        ("GTX 1080", "RTX 1080", False),
        ("GTX 1080", "1080", True),
        ("RTX", "RTX 4090", True),
        ("RTX", "GTX 1080", False),
        ("2080", "2080Ti", False),
        ("RTX 4000", "Quadro RTX 4000", True),
        ("A10", "A100", False),
        ("H900", "", False),
        ("显卡甲", "显卡甲", True),
    ],
)
def test_what_is_said_must_be_there(wanted: str, has: str, is_meant: bool) -> None:
    assert matches_gpu(wanted, has) is is_meant
