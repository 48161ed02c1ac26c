"""Logins: asked once, kept in the vault, renewed when the provider forgot them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from gpurent.domain.events import EventKind
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError
from gpurent.infra.config.settings import settings_for
from gpurent.locale import _
from gpurent.roles.authenticator import Authenticator, Login, SupportsEnrolment
from gpurent.roles.entries import AuthEntry

if TYPE_CHECKING:
    from gpurent.workflow.runtime.desk import Desk


class Accounts:
    """The user's accounts by auth entry. Credentials never leave the vault but to the plugin."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._open: dict[str, Login] = {}

    def _entry(self, auth: str) -> AuthEntry:
        entry: AuthEntry = self._desk.registry.get("auth", auth)
        return entry

    def _role(self, auth: str) -> Authenticator:
        made: Authenticator = self._desk._build("auth", self._entry(auth), Authenticator, auth)
        return made

    def stored(self, auth: str) -> Login | None:
        """The login kept in the vault, valid or not."""
        kept = self._desk.vault.scoped("logins").get(auth)
        if kept is None:
            return None
        raw = json.loads(kept.reveal())
        expires = datetime.fromisoformat(raw["expires_at"]) if raw["expires_at"] else None
        return Login(account=raw["account"], token=self._register(Secret(raw["token"])), expires_at=expires)

    def _given(self, auth: str) -> dict[str, Secret] | None:
        kept = self._desk.vault.scoped("credentials").get(auth)
        if kept is None:
            return None
        return {name: self._register(Secret(value)) for name, value in json.loads(kept.reveal()).items()}

    def _register(self, secret: Secret) -> Secret:
        self._desk.redactor.register(secret)
        return secret

    async def login(self, auth: str, *, renew: bool = False) -> Login:
        """The open login of ``auth``; with ``renew`` a new one from the kept credentials. None kept: `AuthError`."""
        if renew:
            given = self._given(auth)
            if given is None:
                raise AuthError(
                    _("the login to {auth} is no longer accepted").format(auth=auth),
                    hint=_("Log in again: gpurent login"),
                )
            return await self._enter(auth, given)
        found = self._open.get(auth) or self.stored(auth)
        if found is None:
            raise AuthError(
                _("you are not logged in to {auth}").format(auth=auth), hint=_("Log in first: gpurent login")
            )
        self._open[auth] = found
        return found

    async def ensure(self, auth: str, given: Mapping[str, str] | None = None) -> Login:
        """A login that works: the stored one, else from the kept credentials, else a new one (settings, the person)."""
        if given:
            return await self.log_in(auth, {name: Secret(value) for name, value in given.items()})
        found = self._open.get(auth) or self.stored(auth)
        if found is not None and await self._role(auth).valid(found):
            self._open[auth] = found
            return found
        kept = self._given(auth)
        return await (self._enter(auth, kept) if kept else self.log_in(auth, {}))

    async def log_in(self, auth: str, given: Mapping[str, Secret]) -> Login:
        """Log in with what is given, declared in settings, or asked for; the first use of a wallet makes its key."""
        entry, role = self._entry(auth), self._role(auth)
        fields = dict(given)
        settings = settings_for(auth, entry.fields, self._desk.config, self._desk.environment)
        for field in entry.fields:
            if field.name not in fields and settings.get(field.name):
                fields[field.name] = Secret(settings[field.name])
        if isinstance(role, SupportsEnrolment) and not fields:
            fields = dict(self._given(auth) or await role.enrol())
            self._keep_given(auth, fields)
            self._desk.tell(
                EventKind.WARNING,
                _("A new private key was made for {auth}; keep a copy: gpurent whoami --show-key").format(
                    auth=auth
                ),
            )
        for field in entry.fields:
            if field.name not in fields and not field.optional:
                label = f"{auth}: {field.label}"
                fields[field.name] = Secret(self._desk.need(label, secret=field.secret))
        return await self._enter(auth, fields)

    async def _enter(self, auth: str, fields: Mapping[str, Secret]) -> Login:
        for field in self._entry(auth).fields:
            if field.secret and field.name in fields:
                self._register(fields[field.name])
        login = await self._role(auth).login(fields)
        self._register(login.token)
        self._keep_given(auth, fields)
        record = {
            "account": login.account,
            "token": login.token.reveal(),
            "expires_at": login.expires_at.isoformat() if login.expires_at else "",
        }
        self._desk.vault.scoped("logins").put(auth, Secret(json.dumps(record)))
        self._open[auth] = login
        return login

    def _keep_given(self, auth: str, fields: Mapping[str, Secret]) -> None:
        text = json.dumps({name: value.reveal() for name, value in fields.items()})
        self._desk.vault.scoped("credentials").put(auth, Secret(text))

    def credentials(self, auth: str) -> Mapping[str, Secret]:
        """What was given at login, for the user's own backup."""
        return self._given(auth) or {}

    def forget(self, auth: str, *, credentials: bool) -> None:
        """Drop the login; with ``credentials`` also what it was made from (with a wallet's key goes its money)."""
        self._open.pop(auth, None)
        self._desk.vault.scoped("logins").drop(auth)
        if credentials:
            self._desk.vault.scoped("credentials").drop(auth)
