"""What one seed of a family found."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from tests.reliability.judge import Loss
from tests.reliability.user_sandbox import CommandStuck, UserSandbox


@frozen(kw_only=True)
class SeedResult:
    """``tried``: how many cases the seed went through: kills, histories, cuts; ``lost``: how many of them failed.

    A history can have several ``losses``, and is lost once; ``history`` is what was typed, in lines.
    """

    tried: int
    lost: int
    losses: tuple[Loss, ...] = ()
    history: tuple[str, ...] = ()


async def report_seed(
    user: UserSandbox, run: Callable[[], Awaitable[Sequence[Loss]]], count: Callable[[], int]
) -> SeedResult:
    """Run one history and return its result; a command that is stuck, or an error of ours, is a loss too."""
    try:
        losses = tuple(await run())
    except CommandStuck as stuck:
        losses = (Loss(kind="dead-lock", text=f"gpurent {stuck}"),)
    except Exception as error:  # noqa: BLE001 - a night's run goes on, and the error is reported with its seed
        traceback.print_exc()
        losses = (Loss(kind="broken", text=f"{type(error).__name__}: {error}"),)
    return SeedResult(tried=count(), lost=min(1, len(losses)), losses=losses, history=tuple(user.notes))
