"""The shells of small machines."""

from __future__ import annotations

import shutil

import pytest

from plugins.turbo.tests.posix.minimal_machine import SHELLS


@pytest.fixture(
    params=[SHELLS[0], *(pytest.param(shell, marks=pytest.mark.nightly) for shell in SHELLS[1:]), "busybox"]
)
def shell(request: pytest.FixtureRequest) -> str:
    if not shutil.which(request.param):
        pytest.skip(f"no {request.param} here")
    return str(request.param)
