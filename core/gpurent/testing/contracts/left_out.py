"""Contract tests for what a push leaves out on purpose, and for the preview that says so."""

from __future__ import annotations

from pathlib import Path

from gpurent.domain.transfer import PushRequest
from gpurent.roles.machine import SupportsUploadPreview
from gpurent.testing.contracts.file_trees import read_tree
from gpurent.testing.contracts.transfer_base import TransferContractBase
from gpurent.testing.ssh_fixture import MachineFixture

_SENT = ("train.py", ".env", "sub/config.json", "sub/data.bin", ".config/own.ini")
_CREDENTIALS = (".npmrc", ".aws/credentials", "sub/.ssh/id_rsa", ".docker/config.json", ".config/gcloud/x.db")
_IGNORED = ("a.log", "cache/big.bin")
_OWN = "sub/state"


def _make_project(root: Path) -> Path:
    for number, name in enumerate((*_SENT, *_CREDENTIALS, *_IGNORED, f"{_OWN}/journal.sqlite")):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (10 + number))
    (root / "sub/data.bin").write_bytes(b"x" * 5000)
    (root / ".gitignore").write_text("*.log\ncache/\n")
    return root


class LeftOutContract(TransferContractBase):
    """Contract tests for credentials, gpurent's own folders and ignored files."""

    async def test_what_is_left_out_is_reported(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = _make_project(tmp_path / "source")
        own = str((source / _OWN).resolve())
        report = await self.push(remote, source, own_folders=(own,))
        files = {name for name, entry in read_tree(remote.home / "work").items() if entry[0] == "file"}
        assert files == {*_SENT, ".gitignore"}
        left_out = {".npmrc", ".aws", "sub/.ssh", ".docker/config.json", ".config/gcloud", _OWN}
        assert {item.name for item in report.skipped} == left_out
        assert all(item.reason for item in report.skipped)

    async def test_what_is_named_is_sent(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = _make_project(tmp_path / "source")
        report = await self.push(
            remote, source / ".npmrc", source / ".aws", source / "sub" / ".ssh", contents_only=False
        )
        assert report.skipped == ()
        found = read_tree(remote.home / "work")
        assert {".npmrc", ".aws/credentials", ".ssh/id_rsa"} <= set(found)


class UploadPreviewContract(TransferContractBase):
    """Contract test of a backend that `SupportsUploadPreview`."""

    async def test_the_preview_is_what_a_push_does(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = _make_project(tmp_path / "source")
        request = PushRequest(
            sources=(source,),
            target="work",
            contents_only=True,
            own_folders=(str((source / _OWN).resolve()),),
        )
        backend = self.make_backend()
        assert isinstance(backend, SupportsUploadPreview)
        found = backend.preview_push(request)
        report = await self.push(remote, source, own_folders=request.own_folders)
        assert (found.files, found.total) == (report.files, report.total)
        assert found.skipped == report.skipped
        assert found.largest[0] == ("sub/data.bin", 5000)
        assert len(found.largest) == 3
        assert found.secrets == (".env",)
        assert (set(found.ignored), found.ignored_count) == ({"a.log", "cache/"}, 2)
