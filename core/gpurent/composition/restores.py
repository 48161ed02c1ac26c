"""Restores of backups: the state of another time, or of another computer, as a new installation."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from attrs import frozen

from gpurent.composition.backups import PASSPHRASE_VARIABLE
from gpurent.composition.system import data_folder
from gpurent.domain.lease import Lease
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.secret import Secret
from gpurent.errors import BusyError, ConfirmationRequired, Declined, InputRequired, UsageError
from gpurent.infra.backup.contents import JOURNAL, VAULT, BackupManifest, describe_contents, unpack_content
from gpurent.infra.backup.restored_files import make_vault_record, prepare_store, write_copies
from gpurent.infra.backup.sealed_file import BackupHeader, decrypt_chunks, read_header
from gpurent.infra.backup.staged_restore import commit_restore, stage_restore
from gpurent.infra.clock import make_clock
from gpurent.infra.lease_copies import dump_copy_file, make_lease_copy_files
from gpurent.infra.outside_records import dump_records, make_outside_records, read_record_file
from gpurent.infra.platform.file_locks import FileLocks
from gpurent.infra.platform.system import check_parent_folders, make_storage_error, write_private_file
from gpurent.infra.vault.access import PASSPHRASE_VARIABLE as VAULT_PASSPHRASE_VARIABLE
from gpurent.infra.vault.replaced import VAULT_RECORD
from gpurent.locale import _, join_list
from gpurent.locale.foreign_text import describe_error
from gpurent.ports.system import Clock
from gpurent.ports.terminal import Prompter
from gpurent.workflow.payments.ledger_heads import LEDGER_RECORD, dump_heads

# Held for moments only, and by this process itself.
_OWN_LOCKS = ("restore", "outside-records", "lease-copies")


@frozen(kw_only=True)
class RestoreReport:
    """``kept``: the folder with the files that were here before, None if there were none.

    ``leases``: those that may cost money, rented by the installation ``former``.
    """

    file: Path
    made_at: datetime
    version: str
    contents: Mapping[str, int]
    former: str
    installation: str
    leases: Sequence[str]
    kept: Path | None


@frozen
class Restores:
    """Restores backups into the data folder ``home``, whose own state need not be readable."""

    home: Path
    environment: Mapping[str, str]
    prompter: Prompter
    clock: Clock

    async def restore_backup(self, path: Path) -> RestoreReport:
        """Put what ``path`` has in place of all that is here; that is kept in a folder beside it.

        Nothing is changed before the whole file was read and the user has agreed. Raises `AuthError` for a wrong
        passphrase, `UsageError` for a file of another program or a newer version, `StorageError` for a damaged one.
        """
        check_parent_folders(self.home)
        with _open_backup(path) as file:
            header = read_header(file, path.name)
            passphrase = await self._ask_passphrase(header)
            try:
                with stage_restore(self.home) as new:
                    return await self._restore(file, path, header, passphrase, new)
            except OSError as error:
                raise make_storage_error(self.home, error) from error

    async def _ask_passphrase(self, header: BackupHeader) -> Secret:
        names = [PASSPHRASE_VARIABLE, *([VAULT_PASSPHRASE_VARIABLE] if header.is_of_vault else [])]
        given = next((self.environment[name] for name in names if self.environment.get(name)), None)
        if given is None:
            text = _("Passphrase that was chosen for this backup")
            if header.is_of_vault:
                text = _("Passphrase of the vault in this backup")
            question = Question(id="restore", kind=QuestionKind.CODE, text=text, secret=True)
            given = await self.prompter.ask_question(question)
        if not given:
            raise InputRequired(
                _("only its passphrase opens a backup"),
                hint=_("Run this in a terminal, or set {variable}.").format(variable=PASSPHRASE_VARIABLE),
            )
        return Secret(given)

    async def _restore(
        self, file: IO[bytes], path: Path, header: BackupHeader, passphrase: Secret, new: Path
    ) -> RestoreReport:
        key = header.open(path.name, passphrase)
        self._require_unused()
        manifest = unpack_content(decrypt_chunks(file, path.name, header, key), path.name, new)
        prepared = await prepare_store(new, manifest, self.clock.now())
        copy_files = make_lease_copy_files(self.home, self.environment)
        copies = write_copies(new, manifest, prepared.leases, copy_files.read_content())
        records = self._write_records(
            new,
            {
                VAULT_RECORD: make_vault_record(new, passphrase if header.is_of_vault else None),
                LEDGER_RECORD: dump_heads(prepared.heads),
            },
        )
        await self._confirm(path, manifest, prepared.leases)
        self._require_unused()
        kept = self._name_kept_folder()
        outer = dict.fromkeys(copy_files.paths[1:], dump_copy_file(copies))
        commit_restore(self.home, kept, {**outer, **records})
        return RestoreReport(
            file=path,
            made_at=manifest.made_at,
            version=manifest.version,
            contents=describe_contents(list(manifest.sizes)),
            former=manifest.installation,
            installation=copies.installation,
            leases=list(copies.leases),
            kept=self.home / kept if (self.home / kept).exists() else None,
        )

    def _require_unused(self) -> None:
        """Raise `BusyError` while another command works on a trip or a lease here."""
        locks = FileLocks(self.home / "locks")
        busy = []
        for path in sorted(locks.folder.glob("*.lock")):
            if path.stem not in _OWN_LOCKS:
                lock = locks.take(path.stem)
                if lock is None:
                    busy.append(path.stem)
                else:
                    lock.release()
        if busy:
            raise BusyError(
                _("other gpurent commands are at work here: {names}").format(names=join_list(busy)),
                hint=_("Nothing was changed. Wait for them, or end them; `gpurent watch` too."),
            )

    def _write_records(self, new: Path, changed: Mapping[str, Any]) -> dict[Path, bytes]:
        """Write what was used last: this vault, and this ledger, which the user has named.

        Return what is to be written outside of the data folder.
        """
        files = make_outside_records(self.home, self.environment)
        before = next((found for path in files.paths if (found := read_record_file(path))), {})
        data = dump_records({**before, **changed})
        write_private_file(new / files.paths[0].name, data)
        return dict.fromkeys(files.paths[1:], data)

    async def _confirm(self, path: Path, manifest: BackupManifest, leases: Sequence[Lease]) -> None:
        """Ask before anything that is here is replaced. Raises `Declined` or `ConfirmationRequired`."""
        if not (self.home / JOURNAL).exists() and not (self.home / VAULT).exists():
            return
        details = [
            _("{file} was made at {at:%Y-%m-%d %H:%M} UTC by gpurent {version}.").format(
                file=path.name, at=manifest.made_at, version=manifest.version
            ),
            _("What was rented, paid and recorded since is not in it."),
        ]
        if leases:
            text = _("In it, these leases may cost money: {names}")
            details.append(text.format(names=join_list(lease.id for lease in leases)))
        text = _("It replaces the state in {home}, which is kept in a folder there.")
        details.append(text.format(home=self.home))
        question = Question(
            id="restore-backup",
            kind=QuestionKind.DESTROY,
            text=_("Replace what is here?"),
            details=tuple(details),
        )
        refused = _("nothing was restored")
        if not self.prompter.can_confirm:
            raise ConfirmationRequired(refused, hint="\n".join(details), retryable=True)
        if not await self.prompter.confirm(question):
            raise Declined(refused)

    def _name_kept_folder(self) -> str:
        name = f"before-restore-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        return name if not (self.home / name).exists() else f"{name}-{secrets.token_hex(2)}"


def _open_backup(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        text = _("{file} cannot be read: {why}").format(file=path, why=describe_error(error))
        raise UsageError(text, hint=_("Nothing was changed.")) from error


async def restore_here(prompter: Prompter, path: Path) -> RestoreReport:
    """Restore a backup into the data folder of this process; its state is not opened before."""
    clock = make_clock(os.environ.get("GPURENT_CLOCK", ""))
    return await Restores(data_folder(), os.environ, prompter, clock).restore_backup(path)
