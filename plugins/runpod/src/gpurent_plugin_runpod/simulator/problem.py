"""A request that the service refuses, as the REST API says so: a problem as of RFC 9457."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

NO_INSTANCES = (
    "There are no longer any instances available with the requested specifications."
    " Please refresh and try again."
)
NO_FREE_GPUS = "There are not enough free GPUs on the host machine to start this pod."
LOW_BALANCE = "Your account balance is too low to rent a pod"


class Problem(Exception):
    """``errors``: what is wrong with the body, one text for each fault; ``headers``: of the answer."""

    def __init__(
        self, status: int, detail: str, errors: tuple[str, ...] = (), headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, errors, headers or {}

    @property
    def body(self) -> dict[str, Any]:
        more = {"errors": list(self.errors)} if self.errors else {}
        return {"title": HTTPStatus(self.status).phrase, "status": self.status, "detail": self.detail, **more}


def invalid_body(*errors: str) -> Problem:
    return Problem(422, "Request validation failed.", errors)


def not_found(what: str) -> Problem:
    return Problem(404, f"{what} not found")
