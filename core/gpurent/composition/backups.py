"""Backups of the data folder: one encrypted file with what must not be lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen

from gpurent import __version__
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.secret import Secret
from gpurent.errors import InputRequired, StorageError, UsageError
from gpurent.infra.backup.contents import (
    CONFIG,
    COPIES,
    JOURNAL,
    VAULT,
    VAULT_KEY,
    BackupManifest,
    describe_contents,
    iter_content,
    list_kept_logs,
    list_ssh_files,
)
from gpurent.infra.backup.sealed_file import encrypt_chunks, make_header
from gpurent.infra.lease_copies import LeaseCopyFiles, dump_copy_file
from gpurent.infra.platform.system import (
    is_process_running,
    make_private_folder,
    write_private_file,
    write_private_parts,
)
from gpurent.infra.vault.access import VaultAccess
from gpurent.infra.vault.container import VaultContainer
from gpurent.infra.vault.file_vault import MIN_PASSPHRASE_LENGTH
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error
from gpurent.ports.backup_store import SnapshotStore

AskUser = Callable[[Question], Awaitable[str | None]]
PASSPHRASE_VARIABLE = "GPURENT_BACKUP_PASSPHRASE"  # noqa: S105 - the variable's name
_STAGING_PREFIX = "backing-up-"


@frozen(kw_only=True)
class BackupReport:
    """``contents``: how many files of each kind, by name. ``is_of_vault``: the vault's passphrase opens it."""

    file: Path
    made_at: datetime
    size: int
    contents: Mapping[str, int]
    is_of_vault: bool


@frozen
class Backups:
    """Makes backups of the data folder ``home``. ``ask`` asks the user."""

    home: Path
    environment: Mapping[str, str]
    store: SnapshotStore
    secrets: VaultAccess
    copies: LeaseCopyFiles
    ask: AskUser

    async def create_backup(self, path: Path, *, replace: bool = False) -> BackupReport:
        """Write the file ``path``, complete or not at all; one that is there is replaced only with ``replace``.

        Raises `InputRequired` without a passphrase, `UsageError` for a place that will not do.
        """
        self._check_place(path, replace)
        passphrase = await self.secrets.find_passphrase()
        is_of_vault = passphrase is not None
        if passphrase is None:
            passphrase = await self._choose_passphrase()
        with self._stage_files() as files:
            await self.store.write_snapshot(files[JOURNAL])
            sizes = {name: place.stat().st_size for name, place in files.items()}
            made_at = datetime.now(UTC)
            manifest = BackupManifest(
                version=__version__,
                made_at=made_at,
                installation=self.copies.get_installation(),
                sizes=sizes,
            )
            header, key = make_header(passphrase, is_of_vault=is_of_vault)
            parts = encrypt_chunks(header, key, iter_content(manifest, files))
            try:
                size = write_private_parts(path, parts, replace=replace)
            except FileExistsError:
                raise _make_exists_error(path) from None
            except OSError as error:
                raise _make_write_error(path, error) from error
        return BackupReport(
            file=path,
            made_at=made_at,
            size=size,
            contents=describe_contents(list(sizes)),
            is_of_vault=is_of_vault,
        )

    def _check_place(self, path: Path, replace: bool) -> None:
        if path.resolve().is_relative_to(self.home.resolve()):
            raise UsageError(
                _("{file} is in gpurent's data folder, and would be lost with it").format(file=path),
                hint=_("Name a file elsewhere, best on another disk."),
            )
        if not path.parent.is_dir():
            raise UsageError(_("{folder} is not a folder").format(folder=path.parent))
        if path.is_dir():
            raise UsageError(_("{file} is a folder").format(file=path))
        if os.path.lexists(path) and not replace:
            raise _make_exists_error(path)

    async def _choose_passphrase(self) -> Secret:
        """Return the passphrase for a backup whose vault has none: from the environment, else asked for twice."""
        given = self.environment.get(PASSPHRASE_VARIABLE, "")
        if not given:
            text = _("New passphrase for this backup, at least {count} characters")
            given = await self._ask_secret(text.format(count=MIN_PASSPHRASE_LENGTH))
            if given and given != await self._ask_secret(_("The same again")):
                raise UsageError(_("the two passphrases differ"), hint=_("Nothing was written."))
        if not given:
            raise InputRequired(
                _("a backup needs a passphrase, as the vault has none"),
                hint=_("Run this in a terminal, or set {variable}.").format(variable=PASSPHRASE_VARIABLE),
            )
        if len(given) < MIN_PASSPHRASE_LENGTH:
            raise UsageError(
                _("the passphrase of a backup must have at least {count} characters").format(
                    count=MIN_PASSPHRASE_LENGTH
                ),
                hint=_("Several random words are easy to remember and hard to guess."),
            )
        return Secret(given)

    async def _ask_secret(self, text: str) -> str:
        return await self.ask(Question(id="backup", kind=QuestionKind.CODE, text=text, secret=True)) or ""

    @contextmanager
    def _stage_files(self) -> Iterator[Mapping[str, Path]]:
        """Yield the files of the backup by name, each as it is at one moment; the journal has yet to be written."""
        for left in self.home.glob(f"{_STAGING_PREFIX}*"):
            number = left.name.removeprefix(_STAGING_PREFIX)
            if not number.isdecimal() or not is_process_running(int(number)):
                shutil.rmtree(left, ignore_errors=True)
        folder = make_private_folder(self.home / f"{_STAGING_PREFIX}{os.getpid()}")
        try:
            files = {JOURNAL: folder / JOURNAL}
            for name, data in self._read_small_files():
                files[name] = folder / f"{len(files)}"
                write_private_file(files[name], data, is_durable=False)
            yield files
        except OSError as error:
            raise _make_write_error(folder, error) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _read_small_files(self) -> Iterator[tuple[str, bytes]]:
        with VaultContainer(make_private_folder(self.home / "vault")).hold_lock():  # not between the two
            for name in (VAULT, VAULT_KEY):
                if (self.home / name).exists():
                    yield name, (self.home / name).read_bytes()
        if (self.home / CONFIG).exists():
            yield CONFIG, (self.home / CONFIG).read_bytes()
        yield COPIES, dump_copy_file(self.copies.read_content())
        for name, path in (*list_ssh_files(self.home), *list_kept_logs(self.home)):
            with suppress(FileNotFoundError):  # the oldest logs are deleted as new ones come
                yield name, path.read_bytes()


def _make_exists_error(path: Path) -> UsageError:
    return UsageError(
        _("{file} exists already").format(file=path),
        hint=_("Name another file, or replace it: --replace"),
    )


def _make_write_error(path: Path, error: OSError) -> StorageError:
    return StorageError(
        _("{path} cannot be written: {why}").format(path=path, why=describe_error(error)),
        hint=_("No backup was written. Make room, or name a file elsewhere."),
    )
