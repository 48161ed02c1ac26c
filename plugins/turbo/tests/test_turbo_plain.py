"""A machine without Python: the promises of the transfer role, by its shell and its tar."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from gpurent.testing.contracts.full_disk import FullDiskContract
from gpurent.testing.contracts.site import Site
from gpurent.testing.contracts.transfer import TransferContract
from gpurent_plugin_turbo.backend import Turbo

PLAIN: dict[str, Any] = {"missing": ("python3", "python")}


class Plain(TransferContract):
    changes: ClassVar[dict[str, Any]] = PLAIN

    def backend(self) -> Turbo:
        return Turbo({})

    async def test_a_file_that_vanishes_is_told(self, place: Site, tmp_path: Path) -> None:
        """Its thief strikes while Python is being looked for: for the second way the file was never there."""


class TestEmbedded(Plain):
    pass


@pytest.mark.bwrap
class TestOpenSsh(Plain):
    driver = "bwrap"


@pytest.mark.bwrap
class TestFullDisk(FullDiskContract):
    changes: ClassVar[dict[str, Any]] = {**FullDiskContract.changes, **PLAIN}

    def backend(self) -> Turbo:
        return Turbo({})
