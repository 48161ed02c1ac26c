"""The contract of the transfer backend on a machine without Python, by its shell and its tar."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from gpurent.testing.contracts.full_disk import FullDiskContract
from gpurent.testing.contracts.permissions import RemotePermissionsContract
from gpurent.testing.contracts.transfer import TransferContract
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.ssh_fixture import MachineFixture
from gpurent_plugin_turbo.backend import TurboBackend

WITHOUT_PYTHON: dict[str, Any] = {"missing": ("python3", "python")}


class PosixTransferContract(TransferContract):
    spec_changes: ClassVar[dict[str, Any]] = WITHOUT_PYTHON

    def make_backend(self) -> TurboBackend:
        return TurboBackend({}, LOCAL_FILES)

    async def test_a_vanishing_local_file_is_reported(self, remote: MachineFixture, tmp_path: Path) -> None:
        """The file vanishes while Python is being looked for, so the fallback never sees it."""

    async def test_a_cut_transfer_is_resumed(self, remote: MachineFixture, tmp_path: Path) -> None:
        """A first push sends data early, to a Python that does not exist; the cut would hit that."""
        (tmp_path / "nothing").mkdir()
        await self.push(remote, tmp_path / "nothing")
        await super().test_a_cut_transfer_is_resumed(remote, tmp_path)


@pytest.mark.nightly
@pytest.mark.nightly
class TestPosixEmbedded(PosixTransferContract):
    pass


@pytest.mark.bwrap
class TestPosixOpenSsh(PosixTransferContract):
    driver = "bwrap"

    test_a_file_there_that_may_not_be_read = RemotePermissionsContract.test_an_unreadable_remote_file


@pytest.mark.bwrap
class TestPosixFullDisk(FullDiskContract):
    spec_changes: ClassVar[dict[str, Any]] = {**FullDiskContract.spec_changes, **WITHOUT_PYTHON}

    def make_backend(self) -> TurboBackend:
        return TurboBackend({}, LOCAL_FILES)


@pytest.mark.bwrap
@pytest.mark.nightly
class TestPosixRemotePermissions(RemotePermissionsContract):
    spec_changes: ClassVar[dict[str, Any]] = WITHOUT_PYTHON

    def make_backend(self) -> TurboBackend:
        return TurboBackend({}, LOCAL_FILES)
