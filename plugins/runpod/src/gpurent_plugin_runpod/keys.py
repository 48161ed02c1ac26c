"""The public keys of the account, which RunPod lets into each pod that is created later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from attrs import frozen

from gpurent.api import GpurentError, LeaseError, PluginContext, Spent
from gpurent_plugin_runpod import _, wire


@frozen
class AccountKeys:
    """Adds and removes keys of gpurent. The service only takes the whole set, so it is read right before.

    A key that somebody else has registered is sent back as it came, and never left out.
    """

    context: PluginContext
    client: wire.RunpodApi

    @asynccontextmanager
    async def hold_key(self, line: str) -> AsyncIterator[None]:
        """Register the key, and keep it registered within the block, as far as this computer's processes go.

        Raises `LeaseError` if it is missing whenever it is read back: another program replaces the set.
        """
        async with await self._lock():
            known = await self._read()
            for _try in range(3):
                if _find(known, line):
                    break
                known = await self._replace([*known, line])
            if not _find(known, line):
                text = _("RunPod does not keep the lease's SSH key: another program replaces all keys")
                raise LeaseError(text, retryable=True, spent=Spent.NO)
            yield

    async def remove_key(self, line: str) -> None:
        """Remove a key that is no longer needed; what goes wrong is only logged."""
        try:
            async with await self._lock():
                known = await self._read()
                if _find(known, line):
                    await self._replace([other for other in known if not _find([other], line)])
        except GpurentError as error:
            self.context.log.warning("the account keeps a lease's SSH key: %s", error.message)

    async def _lock(self) -> AbstractAsyncContextManager[None]:
        return self.context.lock(f"keys-{(await self.context.get_login()).account}")

    async def _read(self) -> Sequence[str]:
        return (await self.client.call_checked("GET", wire.KEYS_PATH)).get_texts("keys")

    async def _replace(self, lines: Sequence[str]) -> Sequence[str]:
        """Replace the whole set, and read it back."""
        await self.client.call_checked("PUT", wire.KEYS_PATH, json={"keys": lines})
        return await self._read()


def _find(keys: Sequence[str], line: str) -> bool:
    """Return whether a key with this type and body is among them, whatever its comment."""
    return any(key.split()[:2] == line.split()[:2] for key in keys)
