"""Logins: asked once, kept in the vault, renewed when the provider no longer accepts them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from attrs import define, field, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, UsageError
from gpurent.locale import _
from gpurent.ports.services import SecretRegistry, SecretStore
from gpurent.roles.account import Login, SupportsEnrolment
from gpurent.roles.entries import Field, LeaseEntry
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.settings import Settings

_LOGINS = "logins"
_CREDENTIALS = "credentials"


@define(eq=False)
class Logins:
    """The user's logins by auth entry. Credentials leave the vault for their plugin alone."""

    plugins: Plugins
    secrets: SecretStore
    hidden: SecretRegistry
    settings: Settings
    questions: Questions
    events: EventEmitter
    _open: dict[str, Login] = field(factory=dict, init=False)

    def stored(self, auth: str) -> Login | None:
        """The login that is open, else the one kept in the vault, valid or not."""
        if auth not in self._open:
            record = self._load(_LOGINS, auth)
            if record is None:
                return None
            expires = datetime.fromisoformat(record["expires_at"]) if record["expires_at"] else None
            token = self._hide(record["token"])
            self._open[auth] = Login(account=record["account"], token=token, expires_at=expires)
        return self._open[auth]

    def credentials(self, auth: str) -> dict[str, Secret] | None:
        """What was given at login, None when nothing is kept."""
        record = self._load(_CREDENTIALS, auth)
        return None if record is None else {name: self._hide(value) for name, value in record.items()}

    async def login(self, auth: str, *, renew: bool = False) -> Login:
        """The open login of ``auth``; with ``renew`` a new one from the kept credentials. None kept: `AuthError`."""
        if renew:
            kept = self.credentials(auth)
            if kept is None:
                raise AuthError(
                    _("the login to {auth} is no longer accepted").format(auth=auth),
                    hint=_("Log in again: gpurent login"),
                )
            return await self._enter(auth, kept)
        found = self.stored(auth)
        if found is None:
            raise AuthError(
                _("you are not logged in to {auth}").format(auth=auth), hint=_("Log in first: gpurent login")
            )
        return found

    async def ensure(self, auth: str) -> Login:
        """A login that works: the stored one, else from the kept credentials, else a new one."""
        found = self.stored(auth)
        if found is not None and await self.plugins.authenticator(auth).valid(found):
            return found
        kept = self.credentials(auth)
        return await (self._enter(auth, kept) if kept else self.log_in(auth, {}))

    async def log_in(self, auth: str, given: Mapping[str, Secret]) -> Login:
        """Log in with what is given, set in the settings, or asked for; the first use of a wallet makes its key."""
        entry, authenticator = self.plugins.auth_entry(auth), self.plugins.authenticator(auth)
        configured = self.settings.declared(auth, entry.fields)
        fields = {name: Secret(value) for name, value in configured.items()} | dict(given)
        if isinstance(authenticator, SupportsEnrolment) and not fields:
            fields = await self._enrol(auth, authenticator)
        for declared in entry.fields:
            if declared.name not in fields and not declared.optional:
                fields[declared.name] = await self._ask_field(auth, declared)
        return await self._enter(auth, fields)

    def forget(self, auth: str, *, credentials: bool) -> None:
        """Drop the login; with ``credentials`` also what it was made from (with a wallet's key goes its money)."""
        self._open.pop(auth, None)
        self.secrets.scoped(_LOGINS).drop(auth)
        if credentials:
            self.secrets.scoped(_CREDENTIALS).drop(auth)

    async def _enrol(self, auth: str, authenticator: SupportsEnrolment) -> dict[str, Secret]:
        """The kept key, or a new one, kept before it is used."""
        fields = dict(self.credentials(auth) or await authenticator.enrol())
        await self._save_credentials(auth, fields)
        text = _("A new private key was made for {auth}; keep a copy: gpurent whoami --show-key")
        self.events.emit(EventKind.WARNING, text.format(auth=auth))
        return fields

    async def _ask_field(self, auth: str, declared: Field) -> Secret:
        # A CODE whatever it is: an answer that was kept could never be corrected.
        question = Question(
            id=f"login:{auth}:{declared.name}",
            kind=QuestionKind.CODE,
            text=f"{auth}: {declared.label}",
            secret=declared.secret,
        )
        return Secret(await self.questions.require(question))

    async def _enter(self, auth: str, fields: Mapping[str, Secret]) -> Login:
        for declared in self.plugins.auth_entry(auth).fields:
            if declared.secret and declared.name in fields:
                self.hidden.register(fields[declared.name])
        login = await self.plugins.authenticator(auth).login(fields)
        self.hidden.register(login.token)
        await self._save_credentials(auth, fields)
        record = {
            "account": login.account,
            "token": login.token.reveal(),
            "expires_at": login.expires_at.isoformat() if login.expires_at else "",
        }
        await self._save(_LOGINS, auth, record)
        self._open[auth] = login
        return login

    async def _save_credentials(self, auth: str, fields: Mapping[str, Secret]) -> None:
        await self._save(_CREDENTIALS, auth, {name: value.reveal() for name, value in fields.items()})

    async def _save(self, scope: str, auth: str, record: Mapping[str, str]) -> None:
        await self.secrets.unlock(create=True)
        self.secrets.scoped(scope).put(auth, Secret(json.dumps(record)))

    def _load(self, scope: str, auth: str) -> dict[str, str] | None:
        kept = self.secrets.scoped(scope).get(auth)
        record: dict[str, str] | None = json.loads(kept.reveal()) if kept is not None else None
        return record

    def _hide(self, value: str) -> Secret:
        secret = Secret(value)
        self.hidden.register(secret)
        return secret


@frozen
class AccountCommands:
    plugins: Plugins
    logins: Logins

    async def login(self, provider: str, given: Mapping[str, str]) -> Login:
        """Log in; the mail binding that a provider may need is part of the first trip."""
        fields = {name: Secret(value) for name, value in given.items()}
        return await self.logins.log_in(self._auth_of(provider), fields)

    def logout(self, provider: str, *, credentials: bool = False) -> None:
        """Forget the login. A wallet's key is only forgotten when asked, since its money would be lost."""
        auth = self._auth_of(provider)
        enrolled = isinstance(self.plugins.authenticator(auth), SupportsEnrolment)
        self.logins.forget(auth, credentials=credentials or not enrolled)

    def whoami(self) -> list[tuple[str, str]]:
        """``(provider, account)`` of every kept login."""
        found = []
        for name, entry in sorted(self.plugins.registry.entries(LeaseEntry).items()):
            login = self.logins.stored(entry.auth)
            if login is not None:
                found.append((name, login.account))
        return found

    def credentials(self, provider: str) -> Mapping[str, Secret]:
        """What was given at login, for the user's own backup; empty when nothing is kept."""
        return self.logins.credentials(self.plugins.provider_entry(provider).auth) or {}

    def _auth_of(self, provider: str) -> str:
        auth = self.plugins.provider_entry(provider).auth
        if not auth:
            raise UsageError(_("{provider} needs no login").format(provider=provider))
        return auth
