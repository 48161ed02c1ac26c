"""A machine without Python: the promises of the transfer role, by its shell and its tar."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from gpurent.testing.contracts.full_disk import FullDiskContract
from gpurent.testing.contracts.permissions import FarPermissionsContract
from gpurent.testing.contracts.transfer import TransferContract
from gpurent.testing.ssh_fixture import MachineFixture
from gpurent_plugin_turbo.backend import Turbo

PLAIN: dict[str, Any] = {"missing": ("python3", "python")}


class Plain(TransferContract):
    changes: ClassVar[dict[str, Any]] = PLAIN

    def backend(self) -> Turbo:
        return Turbo({})

    async def test_a_file_that_vanishes_is_told(self, place: MachineFixture, tmp_path: Path) -> None:
        """Its thief strikes while Python is being looked for: for the second way the file was never there."""

    async def test_a_cut_line_is_taken_up_again(self, place: MachineFixture, tmp_path: Path) -> None:
        """A first push sends ahead to a Python that is not there, and the cut would strike that."""
        (tmp_path / "nothing").mkdir()
        await self.push(place, tmp_path / "nothing")
        await super().test_a_cut_line_is_taken_up_again(place, tmp_path)


class TestEmbedded(Plain):
    pass


@pytest.mark.bwrap
class TestOpenSsh(Plain):
    driver = "bwrap"

    test_a_file_there_that_may_not_be_read = FarPermissionsContract.test_a_file_there_that_may_not_be_read


@pytest.mark.bwrap
class TestFullDisk(FullDiskContract):
    changes: ClassVar[dict[str, Any]] = {**FullDiskContract.changes, **PLAIN}

    def backend(self) -> Turbo:
        return Turbo({})


@pytest.mark.bwrap
@pytest.mark.nightly
class TestPermissionsThere(FarPermissionsContract):
    changes: ClassVar[dict[str, Any]] = PLAIN

    def backend(self) -> Turbo:
        return Turbo({})
