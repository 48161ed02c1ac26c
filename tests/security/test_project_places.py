"""Where a project file is looked for."""

from __future__ import annotations

import os
from pathlib import Path

from gpurent.domain.trip_fields import PROJECT_FILE
from gpurent.infra.config.project_file import find_project_file
from tests.security.attacks import Adversary, Outcome, attack


@attack(
    Adversary.LOCAL_USER,
    "a project file of another user in a parent folder such as /tmp",
    Outcome.REFUSED,
)
def test_a_project_file_of_somebody_else_in_a_parent_folder_does_not_count(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    here = parent / "here"
    here.mkdir(parents=True)
    (parent / PROJECT_FILE).write_text('command = "true"\n')
    assert find_project_file(here, tmp_path) == parent / PROJECT_FILE
    if os.getuid() == 0:
        os.chown(parent / PROJECT_FILE, 65534, -1)
    else:
        # Only root can give a file away, but root has files everywhere.
        (parent / PROJECT_FILE).unlink()
        (parent / PROJECT_FILE).symlink_to("/etc/passwd")
    assert find_project_file(here, tmp_path) is None
