"""Makes the files of a backup those of a new installation, before they are put in place."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, frozen

from gpurent.domain.lease import Lease
from gpurent.domain.lease_copy import LeaseCopy, make_lease_copy
from gpurent.domain.ledger_chain import LedgerHead
from gpurent.domain.restored_state import RestoreRecord
from gpurent.domain.secret import Secret
from gpurent.domain.volume import VolumeState
from gpurent.errors import StorageError, UsageError
from gpurent.infra.backup.contents import COPIES, JOURNAL, VAULT, VAULT_KEY, BackupManifest
from gpurent.infra.lease_copies import CopyFile, dump_copy_file, read_copy_file
from gpurent.infra.platform.system import write_private_file
from gpurent.infra.sqlite.database import Database
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.infra.vault.container import KEY_FILE_KIND, VaultContainer
from gpurent.infra.vault.key import derive_passphrase_key, is_usual_header, read_key_file
from gpurent.infra.vault.replaced import make_mark
from gpurent.locale import _


@frozen
class PreparedStore:
    """``leases``: those that may cost money. ``heads``: the newest entries of the ledger."""

    leases: Sequence[Lease]
    heads: Sequence[LedgerHead]


async def prepare_store(folder: Path, manifest: BackupManifest, now: datetime) -> PreparedStore:
    """Bring the Store of a backup up to date, and record in it that it was restored ``now``.

    Raises `UsageError` if a newer gpurent made it, `StorageError` if it is damaged.
    """
    path = folder / JOURNAL
    try:
        with closing(Database(path)) as database:
            database.require_sound()
    except UsageError:
        raise UsageError(
            _("the backup was made by a newer gpurent ({version})").format(version=manifest.version),
            hint=_("Nothing was changed. Upgrade gpurent."),
        ) from None
    store = SqliteStore(path, lambda: now)
    try:
        trips = [trip.id for trip in await store.list_open_trips()]
        leases = [_forget_adoption(lease, now) for lease in await store.list_open_leases()]
        for lease in leases:
            await store.save_lease(lease)
        for volume in await store.list_volumes():
            if volume.state is VolumeState.REQUESTED and volume.sent_at is None:
                await store.swap_volume(volume, evolve(volume, sent_at=now))
        record = RestoreRecord(
            restored_at=now,
            backed_up_at=manifest.made_at,
            former=manifest.installation,
            open_trips=tuple(trips),
        )
        await store.put_restore(record)
        heads = await store.ledger.list_heads()
    finally:
        store.close()
    _delete_copies_of_migration(folder)
    return PreparedStore(leases, heads)


def _forget_adoption(lease: Lease, now: datetime) -> Lease:
    """Return the lease as one that nobody has adopted.

    An order that was not sent may have been sent since, so that its provider has to be asked.
    """
    pending = lease.pending
    if pending is not None and pending.sent_at is None:
        pending = evolve(pending, sent_at=now)
    return evolve(lease, adopted_at=None, pending=pending)


def _delete_copies_of_migration(folder: Path) -> None:
    for left in folder.glob(f"{JOURNAL}.*"):
        left.unlink()


def write_copies(folder: Path, manifest: BackupManifest, leases: Sequence[Lease], here: CopyFile) -> CopyFile:
    """Write the second copy: every lease is one of a former installation, and the installation is a new one.

    ``here``: what the copy in this data folder has, which knows more of the same leases. Return the content.
    """
    there = read_copy_file(folder / COPIES) or CopyFile()
    found: dict[str, LeaseCopy] = {
        name: evolve(copy, former=copy.former or manifest.installation) for name, copy in there.leases.items()
    }
    for lease in leases:
        known = there.leases.get(lease.id)
        copied = make_lease_copy(lease, known.account if known is not None else "")
        if copied is not None:
            former = known.former if known is not None else ""
            found[lease.id] = evolve(copied, former=former or manifest.installation)
    for name, copy in here.leases.items():
        found[name] = evolve(copy, former=copy.former or here.installation)
    formers = (manifest.installation, *there.formers, here.installation, *here.formers)
    made = CopyFile(
        installation=secrets.token_hex(8),
        formers=tuple(dict.fromkeys(filter(None, formers))),
        revision=max(here.revision, there.revision) + 1,
        leases=found,
    )
    write_private_file(folder / COPIES, dump_copy_file(made))
    return made


def make_vault_record(folder: Path, passphrase: Secret | None) -> Mapping[str, Any] | None:
    """Return the mark of the vault in a backup; None without one: any vault may come next.

    ``passphrase``: the vault's, if it is known.
    """
    if not (folder / VAULT).exists():
        return None
    content = VaultContainer((folder / VAULT).parent).read()
    header, key = content["kdf"], None
    if header["kind"] == KEY_FILE_KIND:
        if not (folder / VAULT_KEY).exists():
            raise StorageError(_("the vault in the backup lacks its key"), hint=_("Nothing was changed."))
        key = read_key_file(folder / VAULT_KEY, _("Nothing was changed."))
    elif passphrase is not None and is_usual_header(header):
        key = derive_passphrase_key(header, passphrase)
    return asdict(make_mark(content, key.mark if key is not None else ""))
