"""Contract tests for files that were changed here: a pull keeps them, and what arrives goes beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpurent.domain.transfer import SkipKind, sum_reports
from gpurent.infra.transferred_files import TransferredFileNotes
from gpurent.testing.contracts.transfer_base import TransferContractBase
from gpurent.testing.ssh_fixture import MachineFixture
from gpurent.workflow.connection.known_files import DownloadableFiles, KnownFilesMaker, UploadedFiles

SIZES = {"small": 100, "large": (2 << 20) + 9}
TARGET = "gpurent/t1129-abcde"


@contextmanager
def open_known(folder: Path) -> Iterator[DownloadableFiles]:
    maker = KnownFilesMaker(TransferredFileNotes(folder / "notes"))
    with maker.open_downloadable("lease-1", (TARGET,)) as known:
        yield known


def write_random(path: Path, size: int) -> bytes:
    data = os.urandom(size)
    path.write_bytes(data)
    return data


class KeptFilesContract(TransferContractBase):
    """Contract tests of a transfer backend for files that were changed here."""

    async def test_a_pull_keeps_what_was_changed_since_the_last_one(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        out, home = remote.home / "out", tmp_path / "home"
        out.mkdir()
        for name, size in SIZES.items():
            write_random(out / name, size)
            write_random(out / f"{name}.unchanged", size)
        with open_known(tmp_path) as known:
            await self.pull(remote, "out", to=home, known=known)
        edited = {name: write_random(home / "out" / name, size + 1) for name, size in SIZES.items()}
        theirs = {path.name: write_random(path, path.stat().st_size) for path in out.iterdir()}
        for _again in range(2):
            with open_known(tmp_path) as known:
                await self.pull(remote, "out", to=home, known=known)
                report = known.add_to_report(sum_reports(()))
            assert {item.name: item.beside for item in report.skipped if item.kind is SkipKind.KEPT} == {
                f"out/{name}": f"out/{name}.from-machine" for name in SIZES
            }
            assert {path.name: path.read_bytes() for path in (home / "out").iterdir()} == {
                **{f"{name}.from-machine" if name in SIZES else name: data for name, data in theirs.items()},
                **edited,
            }

    async def test_a_push_takes_note_of_the_local_files(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = tmp_path / Path(TARGET).name
        source.mkdir()
        for name, size in SIZES.items():
            write_random(source / name, size)
            # SFTP does not tell one second's changes apart.
            os.utime(source / name, (1_600_000_000, 1_600_000_000))
        (source / "link").symlink_to("small")
        uploaded = UploadedFiles()
        await self.push(remote, source, target=TARGET, states=uploaded)
        KnownFilesMaker(TransferredFileNotes(tmp_path / "notes")).record_upload("lease-1", TARGET, uploaded)
        theirs = write_random(remote.home / TARGET / "large", SIZES["large"])
        (remote.home / TARGET / "link").unlink()
        (remote.home / TARGET / "link").symlink_to("large")
        (source / "small").write_text("edited")
        with open_known(tmp_path) as known:
            await self.pull(remote, TARGET, to=tmp_path, known=known)
            report = known.add_to_report(sum_reports(()))
        assert [(item.name, item.beside) for item in report.skipped] == [(f"{source.name}/small", "")]
        assert (source / "small").read_text() == "edited"
        assert (source / "large").read_bytes() == theirs
        assert os.readlink(source / "link") == "large"

    async def test_ignore_files_of_the_machine_do_not_decide_what_is_sent(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        out, home = remote.home / "out", tmp_path / "home"
        (out / "sub").mkdir(parents=True)
        (home / "out").mkdir(parents=True)
        for name in (".gitignore", ".gpurentignore", "sub/.gitignore"):
            (out / name).write_text("!secret.key\n")
        (home / "out" / ".gitignore").write_text("secret.key\n")
        for known in (True, False):
            with open_known(tmp_path) as notes:
                await self.pull(remote, "out", to=home, known=notes if known else None)
                report = notes.add_to_report(sum_reports(()))
            kept = {item.name: item.beside for item in report.skipped if item.kind is SkipKind.KEPT}
            assert kept == {
                f"out/{name}": f"out/{name}.from-machine"
                for name in (".gitignore", ".gpurentignore", "sub/.gitignore")
                if known
            }
            assert {path.name: path.read_text() for path in (home / "out").iterdir() if path.is_file()} == {
                ".gitignore": "secret.key\n",
                ".gitignore.from-machine": "!secret.key\n",
                ".gpurentignore.from-machine": "!secret.key\n",
            }
            assert [path.name for path in (home / "out" / "sub").iterdir()] == [".gitignore.from-machine"]
        (out / ".gitignore").unlink()
        (out / ".gitignore").symlink_to("sub/.gitignore")
        await self.pull(remote, "out", to=home)
        assert (home / "out" / ".gitignore").read_text() == "secret.key\n"
        assert not (home / "out" / ".gitignore").is_symlink()
