"""Whether the vault is the one that was used last: compared with records that lie outside of its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from attrs import asdict, frozen

from gpurent.infra.vault.container import KEY_FILE_KIND, PASSPHRASE_KIND
from gpurent.locale import N_, _
from gpurent.ports.outside_records import OutsideRecords

VAULT_RECORD = "vault"


class VaultChange(Enum):
    """How a vault differs from the one used last.

    KIND: it had a passphrase and has none now. NEW_KIND: the other way. UNUSED_PASSPHRASE: a passphrase is given for
    one that never had one here. OLDER: it lacks the latest changes. OTHER: it has other changes or another key.
    """

    KIND = N_("the vault had a passphrase when it was used last, and the one in its place has none")
    NEW_KIND = N_("the vault had no passphrase when it was used last, and the one in its place has one")
    UNUSED_PASSPHRASE = N_("GPURENT_PASSPHRASE is set, but the vault has no passphrase")
    OLDER = N_("the vault is older than the one used last: an old copy is in its place")
    OTHER = N_("the vault is not the one used last: another one is in its place")

    @property
    def title(self) -> str:
        return _(self.value)


@frozen(kw_only=True)
class VaultMark:
    """What is recorded of a vault. ``key`` is empty while the key is not known.

    ``revision`` counts the writes; 0 and an empty ``seal`` are those of a vault of version 1.
    """

    kind: str
    revision: int = 0
    seal: str = ""
    key: str = ""


def make_mark(content: Mapping[str, Any], key: str = "") -> VaultMark:
    """Return the mark of a vault's content, of which the revision and the seal are not checked here."""
    return VaultMark(
        kind=str(content["kdf"]["kind"]),
        revision=int(content.get("revision", 0)),
        seal=str(content.get("seal", "")),
        key=key,
    )


def find_change(
    now: VaultMark, recorded: Sequence[VaultMark], has_passphrase: Callable[[], bool]
) -> VaultChange | None:
    """Return how the vault differs from what is recorded; None if it is the same one, or one that was written since.

    ``has_passphrase()``: whether the user gave one.
    """
    if not recorded:
        unused = now.kind == KEY_FILE_KIND and has_passphrase()
        return VaultChange.UNUSED_PASSPHRASE if unused else None
    return next((change for mark in recorded if (change := _compare(now, mark)) is not None), None)


def _compare(now: VaultMark, mark: VaultMark) -> VaultChange | None:
    if now.kind != mark.kind:
        return VaultChange.KIND if now.kind == KEY_FILE_KIND else VaultChange.NEW_KIND
    if now.revision < mark.revision:
        return VaultChange.OLDER
    if now.key and mark.key and now.key != mark.key:
        return VaultChange.OTHER
    return VaultChange.OTHER if now.revision == mark.revision and now.seal != mark.seal else None


@frozen
class LastUsedVault:
    """What is recorded of the vault that was used last."""

    records: OutsideRecords

    def list_marks(self) -> Sequence[VaultMark]:
        """Return the mark from each place that has one."""
        return _load_marks(self.records.list_values(VAULT_RECORD))

    @property
    def revision(self) -> int:
        return max((mark.revision for mark in self.list_marks()), default=0)

    @property
    def had_passphrase(self) -> bool:
        return any(mark.kind == PASSPHRASE_KIND for mark in self.list_marks())

    def record(self, mark: VaultMark) -> None:
        """Record that this vault was used, unless a newer state of it is recorded."""
        recorded = self.list_marks()
        if recorded and all(known == mark for known in recorded):
            return

        def keep_newer(values: Sequence[Any]) -> Any:
            return asdict(max([mark, *_load_marks(values)], key=lambda known: known.revision))

        self.records.update(VAULT_RECORD, keep_newer)

    def replace(self, mark: VaultMark | None) -> None:
        """Record this vault in place of any other; None: any vault may come next."""
        value = asdict(mark) if mark is not None else None
        self.records.update(VAULT_RECORD, lambda _values: value)


def _load_marks(values: Sequence[Any]) -> list[VaultMark]:
    """Return the marks that can be read; what is damaged counts as lost."""
    found = []
    for value in values:
        try:
            mark = VaultMark(**value)
            if mark.revision >= 0 and f"{mark.kind}{mark.seal}{mark.key}".isascii():
                found.append(mark)
        except TypeError:
            continue
    return found
