"""What a fault proxy does to the connections that go through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from attrs import frozen


@frozen(kw_only=True)
class FaultPlan:
    """What goes wrong. The default: nothing.

    A plan counts from the moment it is set; ``times`` limits how often its cut or its HTTP fault strikes
    (None: always), so that a client's next try can succeed.
    """

    cut_upload_after: int | None = None
    """Cut a connection after exactly this many bytes from client to target."""
    cut_download_after: int | None = None
    """The same, from target to client."""
    cut_mode: Literal["reset", "close", "stall"] = "reset"
    stall: bool = False
    """Nothing moves, nothing is closed."""
    rtt: float = 0.0
    """Added delay in seconds, half of it each way."""
    rate: int | None = None
    """Bytes a second, for each direction of each connection."""
    refuse: bool = False
    """New connections are refused; open ones go on."""
    http_fault: Literal["", "lose_answer", "answer_500_after_effect"] = ""
    """The request reaches the target and takes effect; its answer is lost with the connection, or is 500."""
    matches_request: Callable[[bytes], bool] = lambda request_line: True
    """Which requests ``http`` strikes, by their first line: ``b"POST /orders HTTP/1.1"``."""
    times: int | None = None
