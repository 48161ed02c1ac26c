"""The client makes whole trips, asks before it spends, and sees what the command line sees."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpurent.client import AsyncClient, Client
from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import LeaseState
from gpurent.domain.question import Question, QuestionKind
from gpurent.errors import Declined, InputRequired, Spent, UsageError
from gpurent.roles.simulator import SupportsFunding
from gpurent.testing.shared_sandbox import CommandLineUser, SharedSandbox, shared_sandbox

PROVIDER = "vast"
JOB = ("sh", "-c", "echo begun; echo done > out.txt")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedSandbox]:
    with shared_sandbox(tmp_path_factory.mktemp("sandbox"), speed=60) as made:
        yield made


@pytest.fixture
def user(sandbox: SharedSandbox, tmp_path: Path) -> CommandLineUser:
    made = sandbox.user(tmp_path / "home")
    account = sandbox.log_in(made, PROVIDER)
    funding: SupportsFunding = sandbox.simulator(PROVIDER, SupportsFunding)  # type: ignore[type-abstract]
    sandbox.run_in_loop(funding.add_money(account))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    (made / "data.txt").write_text("data")
    return made


@pytest.mark.slow
def test_a_whole_trip_within_a_budget_is_the_command_lines_too(user: CommandLineUser, folder: Path) -> None:
    events: list[Event] = []
    printed: list[bytes] = []
    with Client(environment=user.environment, on_event=events.append, on_output=printed.append) as client:
        offers = client.list_offers([PROVIDER], gpu="RTX 4090", for_="6h")
        assert offers.ranked
        planned = client.plan(JOB, provider=PROVIDER, folder=folder)
        assert planned is not None
        end = client.run(JOB, provider=PROVIDER, folder=folder, results=["out.txt"], budget="5USD")
        assert (end.exit_code, end.job_running) == (0, False)
        assert (folder / "out.txt").read_text() == "done\n"
        assert b"begun" in b"".join(printed)
        assert EventKind.RELEASED in {event.kind for event in events}
        assert client.list_leases() == []
        (trip,) = client.list_trips()
        assert (trip.id, trip.outcome_text) == (end.trip_id, "done")
        assert client.get_trip(end.trip_id).record.lease == end.lease_id
        assert end.receipt is not None
        (total,) = end.receipt.totals()
        assert client.get_costs("trip").costs.totals == (total.spent,)
        assert [receipt.lease for receipt in client.list_receipts() if receipt.lease] == [end.lease_id]
        assert all(finding.is_consistent for finding in client.reconcile(PROVIDER))
        balance = client.get_balance(PROVIDER)
        assert balance is not None
        assert balance.available.amount > 0
    assert [trip["id"] for trip in user.run("trips", "--json").data] == [end.trip_id]


def test_nothing_is_spent_without_a_budget_or_an_answer(user: CommandLineUser, folder: Path) -> None:
    asked: list[Question] = []

    def decline(question: Question) -> bool:
        asked.append(question)
        return False

    with Client(environment=user.environment) as client, pytest.raises(InputRequired) as refused:
        client.run(JOB, provider=PROVIDER, folder=folder)
    assert refused.value.spent in (None, Spent.NO)
    with Client(environment=user.environment, answer=decline) as client:
        with pytest.raises(Declined):
            client.rent(provider=PROVIDER)
        assert client.list_leases(include_over=True) == []
    assert [question.kind for question in asked] == [QuestionKind.SPEND]
    assert asked[0].details, "it says what it would cost"


@pytest.mark.slow
async def test_several_jobs_are_detached_read_and_gone_on_with(user: CommandLineUser, folder: Path) -> None:
    command = ["sh", "-c", "for n in 1 2 3; do echo line $n; sleep 0.3; done; echo done > out.txt"]

    async def agree(question: Question) -> str:
        await asyncio.sleep(0)
        return "yes"

    async with AsyncClient(environment=user.environment, answer=agree) as client:
        lease = await client.rent(provider=PROVIDER, for_="2h")
        assert lease.state is LeaseState.READY
        begun = await client.run(
            command, lease=lease.id, folder=folder, results="out.txt", keep=True, detach=True
        )
        assert (begun.job_running, begun.lease_id) == (True, lease.id)
        read = b"".join([part async for part in client.read_log(lease.id, follow=True)])
        assert read.splitlines()[-3:] == [b"line 1", b"line 2", b"line 3"]
        assert (await client.get_job_status(lease.id)).exit_code == 0
        end = await client.resume(begun.trip_id)
        assert end.exit_code == 0
        assert (folder / "out.txt").read_text() == "done\n"
        assert [one.id for one in await client.list_leases(refresh=True)] == [lease.id]
        receipt = await client.release(lease.id)
        assert receipt.lease == lease.id
        assert await client.list_leases() == []


def test_wrong_fields_are_named_before_anything_is_asked(user: CommandLineUser, folder: Path) -> None:
    with Client(environment=user.environment) as client:
        with pytest.raises(UsageError, match="there are no fields gpuss"):
            client.rent(provider=PROVIDER, gpuss=2)
        with pytest.raises(UsageError, match="budget: '5'"):
            client.run(JOB, provider=PROVIDER, folder=folder, budget="5")
        with pytest.raises(UsageError, match="is not a folder"):
            client.run(JOB, provider=PROVIDER, folder=folder / "nowhere")
        with pytest.raises(UsageError, match="not inside the folder"):
            client.run(JOB, provider=PROVIDER, folder=folder, results=["../../x"])
    with pytest.raises(UsageError, match="not open"):
        client.list_leases()
