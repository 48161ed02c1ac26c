"""The user's vault: asks for its passphrase when it is needed, and whether another vault in its place is meant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from attrs import frozen

from gpurent.child_processes import read_secret_pipe
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.secret import Secret
from gpurent.infra.vault.file_vault import MIN_PASSPHRASE_LENGTH, FileVault
from gpurent.locale import _
from gpurent.ports.outside_records import OutsideRecords
from gpurent.ports.services import Vault

PASSPHRASE_VARIABLE = "GPURENT_PASSPHRASE"  # noqa: S105 - the variable's name
PASSPHRASE_PIPE_VARIABLE = "GPURENT_PASSPHRASE_PIPE"  # noqa: S105 - as above
"""The number of a descriptor with the passphrase, which another gpurent has opened for this one."""
MAX_TRIES = 3
YES = "yes"


def _read_pipe(number: str) -> str:
    """Read the pipe to its end; empty if there is none, or if it was read before."""
    if not number.isdecimal() or int(number) < 3:
        return ""
    try:
        return read_secret_pipe(int(number)).decode()
    except OSError:
        return ""


class VaultAccess:
    """Implements `gpurent.ports.services.SecretStore`. ``ask`` asks the user a question."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        ask: Callable[[Question], Awaitable[str | None]],
        records: OutsideRecords,
    ) -> None:
        given = environment.get(PASSPHRASE_VARIABLE) or _read_pipe(
            environment.get(PASSPHRASE_PIPE_VARIABLE, "")
        )
        self._passphrase = Secret(given) if given else None
        self._ask = ask
        self._was_asked = False
        self._is_accepted: bool | None = None
        self._vault = FileVault(folder, lambda _creating: self._passphrase, records)

    def get_vault(self, scope: str) -> Vault:
        return ScopedVault(self._vault, scope)

    def list_names(self, scope: str) -> list[str]:
        """Return the names of the secrets of a scope; no passphrase is needed for that."""
        prefix = f"{scope}/"
        return [name.removeprefix(prefix) for name in self._vault.list_names() if name.startswith(prefix)]

    async def unlock(self, *, create: bool = False) -> None:
        """See `gpurent.ports.services.SecretStore`. The vault is local; deriving the key takes half a second, once."""
        if self._passphrase is None and self._vault.is_locked:
            self._passphrase = await self._ask_passphrase(_("Passphrase of the vault"))
            if self._passphrase is not None:  # if None it stays locked: not every command reads a secret
                self._vault.unlock()
        elif self._passphrase is None and create and not self._vault.exists and not self._was_asked:
            self._was_asked = True
            self._passphrase = await self._ask_new_passphrase()

    async def find_passphrase(self) -> Secret | None:
        """Return the passphrase of the vault; None if it has none, or if there is no vault.

        Raises `AuthError` if it is wrong, or missing.
        """
        if not self._vault.has_passphrase:
            return None
        await self.unlock()
        self._vault.unlock()
        return self._passphrase

    async def confirm_change(self) -> str:
        """If the vault is not the one used last, ask once whether it is meant.

        Without a yes it is not read; then return why, otherwise an empty text.
        """
        change = self.describe_change()
        if change:
            await self._confirm(_("{change}. Type yes if that was you, or press Enter").format(change=change))
        return "" if self._is_accepted else change

    async def confirm_accept(self) -> bool:
        """Ask whether the vault may be used as it is, unless that was asked before; return whether it may."""
        if self._is_accepted is None:
            await self._confirm(_("The vault is used as it is now. Type yes to agree, or press Enter"))
        return bool(self._is_accepted)

    async def _confirm(self, text: str) -> None:
        # A line of text, so that no option answers it.
        answer = await self._ask(Question(id="vault:changed", kind=QuestionKind.TRUST, text=text))
        self._is_accepted = (answer or "").strip().lower() in (YES, _("yes"))
        if self._is_accepted:
            await self.unlock()
            self.accept()

    def describe_change(self) -> str:
        """Return how the vault differs from the one used last; empty if it does not."""
        change = self._vault.find_change()
        return change.title if change is not None else ""

    def accept(self) -> None:
        """Take the vault that is there, or that there is none, as the one used last."""
        self._vault.accept()

    def hash_file(self) -> str:
        """Return the SHA-256 of the vault's file, as 64 hexadecimal digits; empty if there is none."""
        import hashlib

        try:
            return hashlib.sha256(self._vault.path.read_bytes()).hexdigest()
        except FileNotFoundError:
            return ""

    async def _ask_new_passphrase(self) -> Secret | None:
        text = _("New passphrase for the vault, at least {count} characters (empty: none)")
        given = await self._ask_passphrase(text.format(count=MIN_PASSPHRASE_LENGTH))
        for _try in range(MAX_TRIES):
            if given is None or len(given.reveal()) >= MIN_PASSPHRASE_LENGTH:
                break
            text = _("Too short. New passphrase for the vault, at least {count} characters (empty: none)")
            given = await self._ask_passphrase(text.format(count=MIN_PASSPHRASE_LENGTH))
        return given

    async def _ask_passphrase(self, text: str) -> Secret | None:
        given = await self._ask(Question(id="vault", kind=QuestionKind.CODE, text=text, secret=True))
        return Secret(given) if given else None


@frozen
class ScopedVault:
    """Implements `gpurent.ports.services.Vault` for one plugin."""

    vault: FileVault
    prefix: str

    def get(self, name: str) -> Secret | None:
        return self.vault.get(f"{self.prefix}/{name}")

    def put(self, name: str, secret: Secret) -> None:
        self.vault.put(f"{self.prefix}/{name}", secret)

    def delete(self, name: str) -> None:
        self.vault.delete(f"{self.prefix}/{name}")
