"""How things are after the hint of an error was followed."""

from __future__ import annotations

from typing import Any

from tests.cli.hint_user import HintUser


def get_lease(user: HintUser) -> Any:
    """Return the user's only lease, as it is now."""
    (lease,) = user.read("ls --all --refresh")
    return lease


def check_nothing(user: HintUser) -> None:
    """The commands only show something."""


def check_released(user: HintUser) -> None:
    assert get_lease(user)["state"] in ("released", "kept", "cancelled", "gone")


def check_running(user: HintUser) -> None:
    assert [lease["state"] for lease in user.read("ls")] == ["ready"]


def check_rents(user: HintUser) -> None:
    """The command that failed works now."""
    user.type_line("rent -p mistgpu")
    check_running(user)


def check_renewed(user: HintUser) -> None:
    check_running(user)
    assert all(trip["outcome"] == "done" for trip in user.read("trips"))


def check_refunded(user: HintUser) -> None:
    """Of the payment that came too late, nothing is missing; fees and the machine's own time are."""
    check_released(user)
    findings = user.read("reconcile 1024gpu")["findings"]
    assert "refund" in {found["kind"] for found in findings}
    assert {found["difference"] for found in findings} == {"equal"}


def check_ended_as_named(user: HintUser) -> None:
    check_released(user)
    assert user.count_burning_machines() == 0
