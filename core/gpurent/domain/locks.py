"""Who holds a lock."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from gpurent.locale import _


@frozen(kw_only=True)
class LockOwner:
    """The process that holds a lock.

    ``command``: what the user typed, without its arguments, which may be secret. ``since``: when the lock was taken
    (provider time).
    """

    process: int
    host: str
    command: str
    since: datetime

    def describe(self) -> str:
        return _("{command} (process {process} on {host}, since {since:%Y-%m-%d %H:%M} UTC)").format(
            command=self.command, process=self.process, host=self.host, since=self.since
        )
