"""Contract tests for what a transfer leaves out on purpose, and for the preview that says so."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from gpurent.domain.filenames import NameProblem
from gpurent.domain.name_policy import FileSystemRules, LocalNames
from gpurent.domain.transfer import PushRequest, SkipKind, TransferReport
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
    (root / ".gitignore").write_text("\ufeff*.log\ncache/\n", "utf-8")  # as some editors begin a file
    return root


_AUTO_RUN = (".envrc", ".git/hooks/pre-commit", "sub/.vscode/tasks.json", "bare/HEAD")
_RESERVED = ("sub/aux.txt", "sub/a:b", "trailing.")
_SAME_NAME = ("a", "sub/case/x")
_USED = ("A", "bare/config", "sub/CASE/x", "sub/head/x", "sub/plain.bin")
_MANY_RULES = FileSystemRules(ignores_case=True, windows_names=True)


def _make_results(root: Path) -> Path:
    for name in (*_AUTO_RUN, *_RESERVED, *_SAME_NAME, *_USED):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    (root / "sub" / ".idea").symlink_to("plain.bin")
    return root


def _read_refused(report: TransferReport) -> dict[str, tuple[NameProblem | None, str, int]]:
    return {
        item.name: (item.problem, item.remote_path, item.size)
        for item in report.skipped
        if item.kind is SkipKind.NAME
    }


class LeftOutContract(TransferContractBase):
    """Contract tests for names that are not used here, credentials, gpurent's own folders and ignored files."""

    async def test_names_that_are_not_used_here_are_reported(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        _make_results(remote.home / "out")
        report = await self.pull(remote, "out", to=tmp_path / "home", names=LocalNames(rules=_MANY_RULES))
        found = read_tree(tmp_path / "home" / "out")
        assert {name for name, entry in found.items() if entry[0] != "folder"} == set(_USED)
        assert (tmp_path / "home" / "out" / "A").read_text() == "content of A"
        problems = {
            **dict.fromkeys(_AUTO_RUN, NameProblem.AUTO_RUN),
            **dict.fromkeys(_RESERVED, NameProblem.RESERVED),
            **dict.fromkeys(_SAME_NAME, NameProblem.SAME_NAME),
        }
        refused = _read_refused(report)
        assert {name.removeprefix("out/"): item[0] for name, item in refused.items()} == problems
        assert all(unquote(path) == name for name, (_problem, path, _size) in refused.items())
        assert all(
            size == len(f"content of {name.removeprefix('out/')}")
            for name, (_why, _path, size) in refused.items()
        )
        assert [item.kind for item in report.skipped if item.name == "out/sub/.idea"] == [SkipKind.LINK]
        assert (report.files, report.total) == (len(_USED), sum(len(f"content of {name}") for name in _USED))

    async def test_names_of_sources_are_judged_too(self, remote: MachineFixture, tmp_path: Path) -> None:
        _make_results(remote.home / "out")
        names = LocalNames(rules=_MANY_RULES)
        sources = ("out/.git", "out/A", "out/a", "out/.envrc")
        report = await self.pull(remote, *sources, to=tmp_path / "home", names=names)
        assert _read_refused(report) == {
            ".git/hooks/pre-commit": (NameProblem.AUTO_RUN, "out/.git/hooks/pre-commit", 32),
            "a": (NameProblem.SAME_NAME, "out/a", 12),
            ".envrc": (NameProblem.AUTO_RUN, "out/.envrc", 17),
        }
        assert set(read_tree(tmp_path / "home")) == {"A"}
        below = await self.pull(remote, "out/A", to=tmp_path / "other", names=names.below(".git/hooks"))
        assert set(_read_refused(below)) == {"A"}

    async def test_what_is_left_out_is_reported(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = _make_project(tmp_path / "source")
        own = str((source / _OWN).resolve())
        report = await self.push(remote, source, own_folders=(own,))
        files = {name for name, entry in read_tree(remote.home / "work").items() if entry[0] == "file"}
        assert files == {*_SENT, ".gitignore"}
        left_out = {".npmrc", ".aws", "sub/.ssh", ".docker/config.json", ".config/gcloud", _OWN}
        assert {item.name for item in report.skipped} == left_out
        assert all(item.reason for item in report.skipped)

    async def test_a_single_file_is_withheld(self, remote: MachineFixture, tmp_path: Path) -> None:
        """Also where no ignore file asks for a look at each name, and through a link to the folder."""
        source = tmp_path / "source"
        (source / "sub").mkdir(parents=True)
        for name in ("job.env", "sub/job.env", "a"):
            (source / name).write_text(name)
        (tmp_path / "link").symlink_to(source)
        withheld = str((tmp_path / "link" / "sub" / "job.env").resolve())
        report = await self.push(remote, source, own_folders=(withheld,))
        assert {"a", "job.env", "sub"} == set(read_tree(remote.home / "work"))
        assert [item.name for item in report.skipped] == ["sub/job.env"]

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
