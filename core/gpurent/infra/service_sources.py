"""Who answers at a URL: a service over TLS, one of this user's sandbox, or anybody.

A data folder that is used with a real service has no machines on this computer, whatever its environment names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from attrs import define, field

from gpurent.domain.access import AccessChannel, AccessSource, is_loopback
from gpurent.ports.services import PluginState

STATE_SCOPE = "services"
_REAL = "real"
_TLS_SCHEMES = ("https", "imaps")
SandboxCheck = Callable[[Mapping[str, str], str], Awaitable[bool]]


@define(eq=False)
class ServiceSources:
    """``is_sandbox_service(environment, url)`` is the proof. ``state`` keeps that a real service was used."""

    environment: Mapping[str, str]
    state: PluginState
    is_sandbox_service: SandboxCheck
    _is_recorded: bool = field(default=False, init=False)

    async def identify_service(self, url: str) -> AccessSource:
        """See `gpurent.roles.plugin_context.PluginContext.identify_service`."""
        if await self.is_sandbox_service(self.environment, url):
            return AccessSource(channel=AccessChannel.SERVICE, is_authenticated=True, is_sandbox=True)
        await self.record_use(url)
        is_encrypted = _parse_url(url)[0] in _TLS_SCHEMES
        return AccessSource(channel=AccessChannel.SERVICE, is_authenticated=is_encrypted)

    async def record_use(self, url: str) -> None:
        """Record that the user's login is used at ``url``, if that is not on this computer."""
        host = _parse_url(url)[1]
        if host and not is_loopback(host) and not self._is_recorded:
            await self.state.put(_REAL, host)
            self._is_recorded = True

    async def uses_real_services(self) -> bool:
        return await self.state.get(_REAL) is not None


def _parse_url(url: str) -> tuple[str, str]:
    """Return the scheme and the host; empty for what is not a URL."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or ""
    except ValueError:
        return "", ""
