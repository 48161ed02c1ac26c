"""The parts of the platform for Windows that are texts in and texts out, on whatever system this is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from lxml import etree

from gpurent.infra.platform.windows.access_lists import (
    EVERYONE_SID,
    find_owner,
    get_account_number,
    is_owned,
    list_strangers,
    make_private_list,
)
from gpurent.infra.platform.windows.autostart import join_arguments, make_task
from gpurent.infra.platform.windows.file_modes import GitModes, is_script, list_programs
from tests.windows.journey import TASK_SPACE, check_task

USER, OTHER = "S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-1002"
SIDS = {"BA": "S-1-5-32-544", "SY": "S-1-5-18", "WD": EVERYONE_SID, "BU": "S-1-5-32-545", "CO": "S-1-3-0"}


def expand(name: str) -> str:
    return SIDS.get(name, name)


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_we_make_private_is_private(is_folder: bool) -> None:
    assert list_strangers(make_private_list(USER, is_folder=is_folder), USER, expand) == []


@pytest.mark.parametrize(
    ("text", "strangers"),
    [
        (f"O:{USER}D:(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{USER})", []),  # %LOCALAPPDATA%
        (
            f"O:{USER}D:AI(A;ID;FA;;;{USER})(A;OICIIOID;GA;;;CO)(A;OICIIO;GA;;;BU)",
            [],
        ),  # for what is made later
        (f"O:{USER}D:(A;;FR;;;WD)(A;;FA;;;{USER})", [EVERYONE_SID]),
        (f"O:{USER}D:(A;;0x1200a9;;;BU)(A;;FR;;;BU)", [SIDS["BU"]]),
        (f"O:{USER}D:(D;;FA;;;WD)(A;;FA;;;{USER})", []),
        (f"O:{USER}D:(A;;FA;;;{OTHER})", [OTHER]),
        (f"O:{USER}D:NO_ACCESS_CONTROL", [EVERYONE_SID]),
        (f"O:{USER}", [EVERYONE_SID]),
        (f'O:{USER}D:(XA;;FR;;;{OTHER};(WIN://SYSAPPID Contains "x"))', [OTHER]),
    ],
)
def test_who_else_has_access(text: str, strangers: list[str]) -> None:
    assert list_strangers(text, USER, expand) == strangers


def test_whose_a_file_is() -> None:
    assert find_owner("O:BAG:SYD:", expand) == SIDS["BA"]
    assert find_owner("D:(A;;FA;;;WD)", expand) == ""
    assert is_owned(SIDS["BA"], USER)
    assert not is_owned(OTHER, USER)
    assert not is_owned("", USER)
    assert (get_account_number(USER), get_account_number("")) == (1001, -1)


@given(st.lists(st.text(st.sampled_from('ab \\"\t'), max_size=8), min_size=1))
def test_arguments_stay_arguments(words: list[str]) -> None:
    assert join_arguments(words) == subprocess.list2cmdline(words)


def test_the_task() -> None:
    python = [r"C:\Program Files\Python & Co\python.exe", "-I"]
    home = r"C:\Users\Ada <x>\gpurent"
    text = make_task(python, home, Path("watch.log"), {"GPURENT_HOME": home, "GPURENT_CLOCK": 'a"b'}, USER)
    check_task(text)
    task = etree.fromstring(text.partition("?>")[2])
    run = task.find(f"{TASK_SPACE}Actions/{TASK_SPACE}Exec")
    assert run is not None
    parts = {str(one.tag).removeprefix(TASK_SPACE): one.text or "" for one in run}
    assert parts["Command"] == r"C:\Program Files\Python & Co\pythonw.exe", "no window appears"
    assert home in parts["Arguments"]
    assert r"GPURENT_CLOCK=a\"b" in parts["Arguments"]
    assert parts["WorkingDirectory"] == r"C:\Program Files\Python & Co"


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
@pytest.mark.parametrize("version", [2, 3, 4])
def test_programs_as_git_knows_them(tmp_path: Path, version: int) -> None:
    names = ["a.sh", "deep/er/tool", "deep/er/tools/x", "data", "n" * 200]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    git("config", "core.fileMode", "false")
    git("add", ".")
    git("update-index", "--chmod=+x", "a.sh", "deep/er/tool", "n" * 200)
    if version == 3:
        git("update-index", "--skip-worktree", "data")
    git("update-index", "--index-version", str(version))
    programs = ["a.sh", "deep/er/tool", "n" * 200]
    assert list_programs((tmp_path / ".git" / "index").read_bytes()) == programs
    modes = GitModes()
    assert [name for name in names if modes.is_program(str(tmp_path / name))] == programs
    assert is_script(b"#!")
    assert not is_script(b"\x7fELF")


@pytest.mark.parametrize("data", [b"", b"DIRC", b"XXXX" + bytes(8), b"DIRC\0\0\0\2\0\0\0\5" + bytes(40)])
def test_a_damaged_index_makes_no_programs(tmp_path: Path, data: bytes) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index").write_bytes(data)
    assert not GitModes().is_program(str(tmp_path / "a"))
