"""Logins: entered once, stored in the vault, renewed when the provider no longer accepts them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime

from attrs import define, field, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.provider_names import get_account_label, get_base_name, join_account
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, GpurentError, StorageError, UsageError
from gpurent.locale import _
from gpurent.ports.services import SecretRegistry, SecretStore
from gpurent.roles.account import Login, SupportsEnrolment
from gpurent.roles.entries import InputField, LeaseEntry
from gpurent.workflow.runtime.accounts import KnownAccounts
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.settings import Settings

_LOGIN_SCOPE = "logins"
_CREDENTIAL_SCOPE = "credentials"


@define(eq=False)
class Logins:
    """The user's logins by auth entry. Credentials are only ever passed to the plugin they belong to.

    ``is_vault_required`` false: where the vault cannot be read, the user is asked, and where it cannot be written, the
    login is kept in memory only.
    """

    plugins: Plugins
    secrets: SecretStore
    secret_registry: SecretRegistry
    settings: Settings
    questions: Questions
    events: EventEmitter
    accounts: KnownAccounts
    is_vault_required: bool = True
    _open_logins: dict[str, Login] = field(factory=dict, init=False)

    def find_login(self, auth: str) -> Login | None:
        """Return the current login, else the one in the vault, whether still valid or not."""
        if auth not in self._open_logins:
            record = self._find_record(_LOGIN_SCOPE, auth)
            if record is None:
                return None
            expires = datetime.fromisoformat(record["expires_at"]) if record["expires_at"] else None
            token = self._register_secret(record["token"])
            self.secret_registry.register_account(record["account"])
            self._open_logins[auth] = Login(account=record["account"], token=token, expires_at=expires)
        return self._open_logins[auth]

    def list_logins(self) -> list[tuple[str, str]]:
        """Return ``(provider, account)`` for every stored login."""
        found = []
        for name, entry in sorted(self.plugins.registry.get_entries(LeaseEntry).items()):
            login = self.find_login(entry.auth)
            if login is not None:
                found.append((name, login.account))
        return found

    def find_account(self, provider: str) -> str:
        """Return the account that the user is logged in to at a provider; empty if none, or if it is not known."""
        try:
            login = self.find_login(self.plugins.provider_entry(provider).auth)
        except (GpurentError, OSError):
            return ""  # the vault is locked, lost or damaged
        return login.account if login is not None else ""

    def _find_account_of(self, auth: str) -> str:
        login = self.find_login(auth)
        return login.account if login is not None else ""

    def find_credentials(self, auth: str) -> dict[str, Secret] | None:
        """Return the credentials stored at login, None if there are none."""
        record = self._find_record(_CREDENTIAL_SCOPE, auth)
        return (
            None if record is None else {name: self._register_secret(value) for name, value in record.items()}
        )

    async def get_login(self, auth: str, *, force_new: bool = False) -> Login:
        """Return the current login of ``auth``; with ``force_new``, a new one from the stored credentials.

        Raises `AuthError` if nothing is stored.
        """
        if force_new:
            kept = self.find_credentials(auth)
            if kept is None:
                raise AuthError(
                    _("the login to {provider} is no longer valid").format(
                        provider=self._find_provider(auth)
                    ),
                    hint=_("Log in again: gpurent login {provider}").format(
                        provider=self._find_provider(auth)
                    ),
                )
            return await self._log_in_and_save(auth, kept)
        found = self.find_login(auth)
        if found is None and not self.is_vault_required:
            return await self.log_in(auth, {})
        if found is None:
            raise AuthError(
                _("you are not logged in to {provider}").format(provider=self._find_provider(auth)),
                hint=_("Log in first: gpurent login {provider}").format(provider=self._find_provider(auth)),
            )
        return found

    async def ensure_login(self, auth: str) -> Login:
        """Return a valid login: the stored one, else one from the stored credentials, else ask for a new one."""
        found = self.find_login(auth)
        if found is not None and await self.plugins.authenticator(auth).is_valid(found):
            await self.accounts.record(auth)  # the Store may be a new one
            return found
        kept = self.find_credentials(auth)
        return await (self._log_in_and_save(auth, kept) if kept else self.log_in(auth, {}))

    async def log_in(self, auth: str, given: Mapping[str, Secret]) -> Login:
        """Log in with values that are given, configured, or asked for; a wallet's first login creates its key."""
        entry, authenticator = self.plugins.auth_entry(auth), self.plugins.authenticator(auth)
        configured = self.settings.get_login_fields(auth, entry.fields)
        fields = {name: Secret(value) for name, value in configured.items()} | dict(given)
        if isinstance(authenticator, SupportsEnrolment) and not fields:
            fields = await self._create_credentials(auth, authenticator)
        for declared in entry.fields:
            if declared.name not in fields and not declared.optional:
                fields[declared.name] = await self._ask_field(auth, declared)
        return await self._log_in_and_save(auth, fields)

    async def record_account(self, provider: str) -> None:
        """Record the account of a provider whose lease was found again: with a lost Store, its record was lost too."""
        await self.accounts.record(self.plugins.provider_entry(provider).auth)

    async def delete_login(self, auth: str, *, credentials: bool) -> None:
        """Delete the login; with ``credentials``, also the credentials. Deleting a wallet's key loses its money.

        An account of which nothing is left here is not listed any more.
        """
        self._open_logins.pop(auth, None)
        self.secrets.get_vault(_LOGIN_SCOPE).delete(auth)
        if credentials:
            self.secrets.get_vault(_CREDENTIAL_SCOPE).delete(auth)
            await self.accounts.forget(auth)

    async def _create_credentials(self, auth: str, authenticator: SupportsEnrolment) -> dict[str, Secret]:
        """Return the stored key, or create one and store it before it is used."""
        await self.accounts.record(auth)
        fields = dict(self.find_credentials(auth) or await authenticator.create_credentials())
        await self._save_credentials(auth, fields)
        text = _(
            "A new private key was created for {auth}; keep a copy: gpurent whoami --show-key {provider}"
        )
        self.events.emit(EventKind.WARNING, text.format(auth=auth, provider=self._find_provider(auth)))
        return fields

    def _find_provider(self, auth: str) -> str:
        """Return a provider that uses this login: commands take a provider, which may have another name."""
        entries, base = self.plugins.registry.get_entries(LeaseEntry).values(), get_base_name(auth)
        name = next((entry.name for entry in entries if entry.auth == base), base)
        return join_account(name, get_account_label(auth))

    async def _ask_field(self, auth: str, declared: InputField) -> Secret:
        # A CODE question is never stored, so a wrong answer can be corrected.
        question = Question(
            id=f"login:{auth}:{declared.name}",
            kind=QuestionKind.CODE,
            text=f"{auth}: {declared.label}",
            secret=declared.secret,
        )
        way = f"--stdin {declared.name}" if declared.secret else f"-f {declared.name}=…"
        hint = _("Give it with: gpurent login {provider} {way}").format(
            provider=self._find_provider(auth), way=way
        )
        return Secret(await self.questions.require_input(question, hint=hint))

    async def _log_in_and_save(self, auth: str, fields: Mapping[str, Secret]) -> Login:
        for declared in self.plugins.auth_entry(auth).fields:
            if declared.secret and declared.name in fields:
                self.secret_registry.register_secret(fields[declared.name])
        login = await self.plugins.authenticator(auth).log_in(fields)
        self.secret_registry.register_secret(login.token)
        self.secret_registry.register_account(login.account)
        await self.accounts.require_other_names_free(auth, login.account, self._find_account_of)
        await self.accounts.record(auth)
        await self._save_credentials(auth, fields)
        record = {
            "account": login.account,
            "token": login.token.reveal(),
            "expires_at": login.expires_at.isoformat() if login.expires_at else "",
        }
        await self._save_record(_LOGIN_SCOPE, auth, record)
        self._open_logins[auth] = login
        return login

    async def _save_credentials(self, auth: str, fields: Mapping[str, Secret]) -> None:
        await self._save_record(
            _CREDENTIAL_SCOPE, auth, {name: value.reveal() for name, value in fields.items()}
        )

    async def _save_record(self, scope: str, auth: str, record: Mapping[str, str]) -> None:
        with self._tolerate_lost_vault():
            await self.secrets.unlock(create=True)
            self.secrets.get_vault(scope).put(auth, Secret(json.dumps(record)))

    def _find_record(self, scope: str, auth: str) -> dict[str, str] | None:
        kept = None
        with self._tolerate_lost_vault():
            kept = self.secrets.get_vault(scope).get(auth)
        record: dict[str, str] | None = json.loads(kept.reveal()) if kept is not None else None
        return record

    def _tolerate_lost_vault(self) -> AbstractContextManager[None]:
        return nullcontext() if self.is_vault_required else suppress(StorageError)

    def _register_secret(self, value: str) -> Secret:
        secret = Secret(value)
        self.secret_registry.register_secret(secret)
        return secret


@frozen
class AccountCommands:
    plugins: Plugins
    logins: Logins

    async def log_in(self, provider: str, given: Mapping[str, str]) -> Login:
        """Log in. A mail binding that the provider may require is done in the first trip."""
        fields = {name: Secret(value) for name, value in given.items()}
        return await self.logins.log_in(self._get_auth_name(provider), fields)

    async def log_out(self, provider: str, *, credentials: bool = False) -> None:
        """Forget the login. A wallet's key is only deleted with ``credentials``, since its money would be lost.

        Warn of leases that may cost money, about which nothing can be done then.
        """
        auth = self._get_auth_name(provider)
        enrolled = isinstance(self.plugins.authenticator(auth), SupportsEnrolment)
        await self.logins.delete_login(auth, credentials=credentials or not enrolled)
        for lease in await self.logins.accounts.store.list_open_leases():
            entry = self.plugins.registry.find_entry(LeaseEntry, lease.provider)
            if entry is not None and entry.auth == auth and self.plugins.is_known_to_provider(lease):
                text = _("{lease} may still cost money; gpurent can do nothing about it without the login")
                self.logins.events.emit(EventKind.WARNING, text.format(lease=lease.id), lease=lease.id)

    def list_logins(self) -> list[tuple[str, str]]:
        return self.logins.list_logins()

    def get_credentials(self, provider: str) -> Mapping[str, Secret]:
        """Return the stored credentials for the user's own backup; empty if there are none."""
        return self.logins.find_credentials(self.plugins.provider_entry(provider).auth) or {}

    def _get_auth_name(self, provider: str) -> str:
        auth = self.plugins.provider_entry(provider).auth
        if not auth:
            raise UsageError(_("{provider} does not need a login").format(provider=provider))
        return auth
