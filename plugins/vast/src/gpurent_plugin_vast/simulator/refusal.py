"""A request that the service refuses, as it says so."""

from __future__ import annotations

from typing import Any


class VastRefusal(Exception):
    """An answer with ``success: false``; ``more`` are further fields of its body."""

    def __init__(self, status: int, error: str, msg: str, **more: Any) -> None:
        super().__init__(msg)
        self.status = status
        self.body: dict[str, Any] = {"success": False, "error": error, "msg": msg, **more}


def invalid_args(msg: str, **more: Any) -> VastRefusal:
    """Return the refusal of a malformed request."""
    return VastRefusal(400, "invalid_args", msg, **more)


def no_such_instance(instance_id: int) -> VastRefusal:
    """Return the refusal for an instance that the account does not have."""
    return VastRefusal(404, "no_such_instance", f"Instance {instance_id} not found.")
