"""The faults that a proxy applies to the connections through it."""

from __future__ import annotations

from typing import Literal

from attrs import frozen


@frozen(kw_only=True)
class FaultPlan:
    """The faults to apply; none by default.

    Bytes are counted from the moment the plan is set; ``times`` limits how often its cut occurs (None: always),
    so that a client's next try can succeed.
    """

    cut_upload_after: int | None = None
    """Cut a connection after exactly this many bytes from client to target."""
    cut_download_after: int | None = None
    """The same, from target to client."""
    cut_mode: Literal["reset", "close", "stall"] = "reset"
    stall: bool = False
    """No data moves, and no connection is closed."""
    rtt: float = 0.0
    """Added round-trip time in seconds, half of it each way."""
    rate: int | None = None
    """Bytes per second, for each direction of each connection."""
    refuse: bool = False
    """Refuse new connections; open ones continue."""
    times: int | None = None
