"""Ending a machine without an API: its own stop script, or the user on the shop's page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.mail import Challenge
from gpurent.errors import GpurentError, InputRequired, Spent, UnavailableError
from gpurent.infra.ssh.client import Reachability
from gpurent.locale import _
from gpurent.roles.assisted import Instructions, ManualTask
from gpurent.workflow.manual.instructions import guide_of, send
from gpurent.workflow.runtime.challenges import answer_in, counts
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.runtime.mail import ConfiguredMailReader

YES = ("yes", "y", "是", "好")
TIMEOUT = 30.0
MAIL = timedelta(minutes=3)
# A machine takes a little while to go down.
PATIENCE = timedelta(minutes=2)
LOOK = timedelta(seconds=5)
SLACK = timedelta(minutes=2)


async def run_stop(desk: Desk, lease: Lease, script: str) -> str:
    """Run the stop script over the line. Why it may not have worked; empty: it ran, or took the line with it."""
    if lease.endpoint is None:
        return _("it has no address")
    vault = desk.vault.scoped(lease.provider)
    try:
        link = await desk.ssh.open(lease.id, lease.endpoint, vault.get(lease.password_ref))
    except GpurentError as error:
        return error.message
    try:
        ran = await link.run(script, timeout=TIMEOUT)
    except UnavailableError:
        # The line went down with the machine, or the script waits for the end that it asked for.
        return ""
    finally:
        await link.aclose()
    if ran.status == 0:
        return ""
    return _("its stop script failed with exit code {code}").format(code=ran.status)


async def ask_person(desk: Desk, lease: Lease, knock: Callable[[Lease], Awaitable[Reachability]]) -> None:
    """Returns once the user says that it has ended and it does not answer; until then it burns: `InputRequired`."""
    guide = guide_of(desk, lease.provider, ManualTask.RELEASE, lease)
    await send(desk, lease.provider, guide, lease=lease.id)
    if desk.interactive and guide.code:
        await _show_code(desk, lease, guide)
    label = _("Type yes once {lease} has ended there").format(lease=lease.id)
    if (desk.ui.ask(label) or "").strip().lower() not in YES:
        raise _needed(lease, _("{lease} must be ended by you").format(lease=lease.id))
    waited = timedelta()
    while await knock(lease) is Reachability.ANSWERS:
        if waited >= PATIENCE:
            raise _needed(
                lease, _("{lease} still answers, so it may still cost money").format(lease=lease.id)
            )
        await desk.pace(LOOK)
        waited += LOOK


def _needed(lease: Lease, message: str) -> InputRequired:
    return InputRequired(
        message,
        hint=_("When it has ended: gpurent release {lease} --confirmed").format(lease=lease.id),
        retryable=True,
        spent=Spent.YES,
        burning=(lease.id,),
    )


async def _show_code(desk: Desk, lease: Lease, guide: Instructions) -> None:
    """The code that the page asks for, out of its mail: this lease's own and newer than the question."""
    post = ConfiguredMailReader(desk)
    if not (post.available and lease.ref and guide.sender):
        return
    challenge = Challenge(
        key=f"{lease.id}-by-hand",
        question="",
        pattern=guide.code,
        sender=guide.sender,
        subject=lease.ref,
        since=desk.clock.now() - SLACK,
    )
    desk.tell(EventKind.WAITING, _("the code is shown here when its mail comes"), lease=lease.id)
    waited = timedelta()
    while waited < MAIL:
        try:
            mails = await post.search(
                since=challenge.since, sender=challenge.sender, subject=challenge.subject
            )
        except GpurentError as error:
            desk.tell(EventKind.WARNING, error.message)
            return
        for mail in sorted(mails, key=lambda mail: mail.at, reverse=True):
            code = answer_in(challenge, mail.text) if counts(challenge, mail) else None
            if code is not None:
                desk.tell(EventKind.BY_HAND, _("The code is {code}").format(code=code), lease=lease.id)
                return
        await desk.pace(LOOK)
        waited += LOOK
