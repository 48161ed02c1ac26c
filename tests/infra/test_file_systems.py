"""What a file system does with names is tried out, and nothing is left of the trial."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gpurent.domain.name_policy import FileSystemRules
from gpurent.infra.platform.posix.file_systems import read_file_system_rules

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the usual file systems of Linux")


def test_the_usual_file_system_keeps_every_name_apart(tmp_path: Path) -> None:
    assert read_file_system_rules(tmp_path) == FileSystemRules()
    assert read_file_system_rules(tmp_path / "not" / "yet") == FileSystemRules()
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_tried_out_the_usual_rules_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    assert read_file_system_rules(tmp_path / "file") == FileSystemRules()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert read_file_system_rules(tmp_path / "file") == FileSystemRules(
        ignores_case=True, normalizes_unicode=True
    )
