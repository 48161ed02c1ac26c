"""A mailbox that refuses a login says nothing about the machine: it is asked again, and the machine stays."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import LeaseState
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import TripLimits, TripSpec
from gpurent.testing.sandbox.service_faults import ActiveFault, ServiceFault
from tests.workflow.trip_sandbox import ScriptedUser, trip_sandbox

REFUSAL = "Login fail. password is incorrect, login frequency limited, or system is busy"


def make_login_refusal(text: str, times: int, *, hang_up: bool = False) -> ServiceFault:
    return ServiceFault(service="mail", method="LOGIN", body=text, lose=hang_up, times=times)


@pytest.mark.parametrize(
    "text",
    [REFUSAL, pytest.param("[AUTHENTICATIONFAILED] Invalid credentials", marks=pytest.mark.nightly)],
    ids=["busy", "password"],
)
async def test_refused_logins_while_codes_and_the_access_are_awaited(text: str, tmp_path: Path) -> None:
    user = ScriptedUser()
    async with (
        trip_sandbox(tmp_path, speed=600) as sandbox,
        sandbox.open_application(user) as application,
    ):
        await application.account_commands.log_in("1024gpu", {})
        await sandbox.add_dbc(application, "200000")
        faults = sandbox.cloud.faults
        added: list[asyncio.Task[ActiveFault]] = []

        def refuse_after_payment(event: Event) -> None:
            if event.kind is EventKind.STEP_STARTED and event.step == "leg0.ready":
                # while the access to the paid machine is awaited
                added.append(asyncio.ensure_future(faults.add(make_login_refusal(text, 3))))

        user.watchers.append(refuse_after_payment)
        await faults.add(make_login_refusal(text, 1))  # while the code that binds the address is awaited
        spec = TripSpec(
            provider="1024gpu",
            requirements=Requirements(gpu="2080Ti"),
            limits=TripLimits(term=timedelta(days=1)),
        )
        lease = await application.trips.rent(spec)
        assert lease.state is LeaseState.READY
        assert len(list(sandbox.cloud.burning())) == 1
        paid = next(number for number, event in enumerate(user.events) if event.step == "leg0.ready")
        for events in (user.events[:paid], user.events[paid:]):
            assert any(text in event.text for event in events), "the server's own words are shown"
        # while the code that ends the lease is awaited
        await faults.add(make_login_refusal(text, 2, hang_up=True))
        await application.releases.release_lease(lease.id)
        assert (await application.leases.get_lease(lease.id)).state is LeaseState.KEPT
        assert list(sandbox.cloud.burning()) == []


async def test_a_mailbox_that_limits_logins_is_not_asked_every_few_seconds(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox, sandbox.open_application() as application:
        refusal = await sandbox.cloud.faults.add(make_login_refusal(REFUSAL, 1000))
        clock = application.clock
        began = clock.now()
        while clock.now() - began < timedelta(minutes=12):
            with pytest.raises(Exception, match="frequency limited"):
                await application.mail.search(since=began, sender="a@b.example", subject="")
            await clock.sleep(timedelta(seconds=5))
        # After 15 s, 30 s, 1, 2 and 4 minutes, then every five.
        assert refusal.matched <= 7
