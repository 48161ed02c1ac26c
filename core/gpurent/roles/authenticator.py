"""Who the user is to a provider."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from gpurent.domain.secret import Secret


@frozen(kw_only=True)
class Login:
    """``account`` names the user to the provider (a name, a wallet address); ``token`` is what proves it."""

    account: str
    token: Secret
    expires_at: datetime | None = None


class Authenticator(ABC):
    """Turns declared fields into a login."""

    @abstractmethod
    async def login(self, given: Mapping[str, Secret]) -> Login:
        """Log in with the entry's fields by name. Refused is an `AuthError`. Spends nothing."""

    @abstractmethod
    async def valid(self, login: Login) -> bool:
        """Whether ``login`` still works; one look."""


class SupportsEnrolment(ABC):
    """Capability of an authenticator: the first use makes the key that is the account."""

    @abstractmethod
    async def enrol(self) -> Mapping[str, Secret]:
        """Make new credentials, fit to be given to `login`. The user is told to keep them; spends nothing."""
