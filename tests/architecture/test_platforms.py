"""The list of files that need Linux only shrinks; `scripts/check_platforms.py` compares it with what mypy finds."""

from __future__ import annotations

import re
from pathlib import Path

from scripts.check_platforms import HEAD, LIST, SYSTEMS, read_list

ROOT = Path(__file__).parents[2]
# How many files each system may still lack. A smaller number may be written here, never a larger one.
MOST = {"win32": 38, "darwin": 2}
# The sandbox and its machines, and turbo, which steps aside on Windows; of core's product nothing.
MAY_NEED_LINUX = ("core/gpurent/testing/", "plugins/turbo/", "scripts/")


def test_the_list_only_shrinks() -> None:
    for system in SYSTEMS:
        assert len([path for one, path in read_list() if one == system]) <= MOST[system]
    assert {system for system, _path in read_list()} == set(SYSTEMS)


def test_the_product_needs_no_system() -> None:
    assert [path for _system, path in read_list() if not path.startswith(MAY_NEED_LINUX)] == []
    assert [path for _system, path in read_list() if not (ROOT / path).is_file()] == []


def test_the_list_is_in_order() -> None:
    lines = "".join(f"{system} {path}\n" for system, path in sorted(read_list()))
    assert LIST.read_text("utf-8") == HEAD + lines


# What the type checker does not find: Windows has it and means something else, or refuses it when it is called.
REFUSED = re.compile(r"os\.kill\(|\.add_reader\(|\.add_signal_handler\(|dir_fd=|os\.startfile\(")
MAY_USE = {
    "infra/platform/posix/local_files.py",
    "infra/platform/posix/system.py",
    "infra/platform/posix/terminal.py",
    "infra/platform/windows/api.py",
    "workflow/guard/scheduler.py",  # goes on without
}


def test_what_windows_refuses_is_asked_of_the_platform() -> None:
    core = ROOT / "core" / "gpurent"
    found = {
        path.relative_to(core).as_posix()
        for path in core.rglob("*.py")
        if "testing" not in path.parts and REFUSED.search(path.read_text("utf-8"))
    }
    assert found == MAY_USE


def test_lint_compares_it() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert "lint-platforms" in makefile.partition("\nlint:")[2].partition("\n")[0]
    rule = makefile.partition("\nlint-platforms:")[2].partition("\n\n")[0]
    assert "scripts/check_platforms.py" in rule
