"""The user's vault: asks for its passphrase when it is needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.secret import Secret
from gpurent.infra.vault import FileVault
from gpurent.locale import _
from gpurent.ports.services import Vault

PASSPHRASE_VARIABLE = "GPURENT_PASSPHRASE"  # noqa: S105 - the variable's name


class VaultAccess:
    """Implements `gpurent.ports.services.SecretStore`. ``ask`` asks the user a question."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        ask: Callable[[Question], Awaitable[str | None]],
    ) -> None:
        given = environment.get(PASSPHRASE_VARIABLE)
        self._passphrase = Secret(given) if given else None
        self._ask = ask
        self._was_asked = False
        self._vault = FileVault(folder, lambda _creating: self._passphrase)

    def get_vault(self, scope: str) -> Vault:
        return self._vault.get_vault(scope)

    async def unlock(self, *, create: bool = False) -> None:
        """See `gpurent.ports.services.SecretStore`. The vault is local; deriving the key takes half a second, once."""
        if self._passphrase is None and self._vault.is_locked:
            self._passphrase = await self._ask_passphrase(_("Passphrase of the vault"))
            if self._passphrase is not None:  # if None it stays locked: not every command reads a secret
                self._vault.unlock()
        elif self._passphrase is None and create and not self._vault.exists and not self._was_asked:
            self._was_asked = True
            self._passphrase = await self._ask_passphrase(_("New passphrase for the vault (empty: none)"))

    async def _ask_passphrase(self, text: str) -> Secret | None:
        given = await self._ask(Question(id="vault", kind=QuestionKind.CODE, text=text, secret=True))
        return Secret(given) if given else None
