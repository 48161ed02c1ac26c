"""The faults that a proxy applies to the connections through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from attrs import frozen


@frozen(kw_only=True)
class FaultPlan:
    """The faults to apply; none by default.

    Bytes are counted from the moment the plan is set; ``times`` limits how often its cut or its HTTP fault occurs
    (None: always), so that a client's next try can succeed.
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
    http_fault: Literal["", "lose_response", "replace_response"] = ""
    """The request takes effect at the target; the response is lost with the connection, or replaced."""
    response: bytes = b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    """The whole response that replaces the target's; the connection is closed after it."""
    matches_request: Callable[[bytes], bool] = lambda request_line: True
    """Which requests ``http_fault`` applies to, by request line: ``b"POST /orders HTTP/1.1"``."""
    times: int | None = None
