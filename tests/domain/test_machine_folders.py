"""No upload and no job leaves the home folder of a machine by the way of its parent."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpurent.domain.job import Job
from gpurent.domain.transfer import PushRequest
from gpurent.errors import UsageError


@pytest.mark.parametrize("path", ["../etc", "../../etc", "..", "a/../../etc", "./../x", "a/b/../../.."])
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    for make in (
        lambda: PushRequest(sources=(Path("x"),), target=path),
        lambda: Job(name="j", command="true", folder=path),
    ):
        with pytest.raises(UsageError, match="leads out of the home folder"):
            make()


@pytest.mark.parametrize("path", [".", "work", "a/../b", "..x", "a/..b", "/data/mine", "work/"])
def test_a_path_below_it_or_a_whole_one_is_not(path: str) -> None:
    assert PushRequest(sources=(Path("x"),), target=path).target == path
    assert Job(name="j", command="true", folder=path).folder == path
