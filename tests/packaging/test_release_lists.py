"""What a release lists is up to date; every dependency has an upper bound that was tested."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import importlib_metadata
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from scripts import release_lists

ROOT = Path(__file__).parents[2]

REQUIREMENTS = sorted({str(found) for found in release_lists.list_runtime_requirements()})


def read_pin(name: str) -> Version:
    line = release_lists.read_locked()[release_lists.normalize(name)]
    return Version(line.partition("==")[2].partition(";")[0].strip())


def test_the_lists_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "release_lists.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_something_to_check() -> None:
    assert len(REQUIREMENTS) > 25


@pytest.mark.parametrize("text", REQUIREMENTS)
def test_every_dependency_has_a_tested_upper_bound(text: str) -> None:
    wanted = Requirement(text)
    bounds = [Version(part.version) for part in wanted.specifier if part.operator == "<"]
    assert bounds, "a later version may be anything"
    pin = read_pin(wanted.name)
    assert pin in wanted.specifier, "the version that the tests run with"
    (bound,) = bounds
    following = [Version(f"{pin.major + 1}")] if pin.major else []
    following += [Version(f"0.{pin.minor + 1}")] if not pin.major else []
    assert bound in following, "the first version that may change what it promises"
    assert importlib_metadata.version(wanted.name) == str(pin), "what is installed is what is pinned"


def test_the_constraints_are_versions_only_and_cover_every_dependency() -> None:
    lines = release_lists.CONSTRAINTS.read_text("utf-8").splitlines()
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+( ; [a-z_]+ .*)?", line), line
    assert not [line for line in lines if "://" in line or "--" in line]
    pinned = {line.partition("==")[0] for line in lines}
    assert {release_lists.normalize(Requirement(text).name) for text in REQUIREMENTS} <= pinned


def test_the_notice_names_every_package_and_where_shared_source_is() -> None:
    notice = release_lists.NOTICE.read_text("utf-8")
    listed = re.findall(r"^([a-z0-9-]+)  +\S+  +(.+)$", notice, re.MULTILINE)
    needed = [name for name, found in release_lists.walk_requirements().items() if found is not None]
    assert [name for name, _licence in listed] == sorted(needed)
    assert "unknown" not in [licence for _name, licence in listed]
    shared = [name for name, licence in listed if re.search(r"EPL|MPL|GPL", licence)]
    assert "asyncssh" in shared
    assert re.findall(r"^([a-z0-9-]+): https://", notice, re.MULTILINE) == shared


def test_a_licence_is_read_from_whatever_field_has_it() -> None:
    assert release_lists.find_licence(importlib_metadata.distribution("attrs")) == "MIT"
    assert "Mozilla" in release_lists.find_licence(importlib_metadata.distribution("pathspec"))
