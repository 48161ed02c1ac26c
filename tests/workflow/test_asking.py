"""The questions before money is spent and before something is lost, at a terminal and without one."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from gpurent.domain.events import EventKind
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.spending import AuthorizedBy, SpendingAuthorization, SpendingProposal
from gpurent.domain.trip import TripLimits, TripSpec
from gpurent.errors import ConfirmationRequired, Declined, InputRequired
from gpurent.testing.shared_sandbox import CommandLineResult
from gpurent.workflow.trips import release_review
from tests.workflow.test_failures import log_in_with_money, make_project, make_spec
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

RENT = ("rent", "-p", "mistgpu")
LONG_JOB = """
import os, time
os.mkdir("out")
with open("out/model", "w") as file:
    file.write("weights")
print("begun", flush=True)
time.sleep(600)
"""


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60) as made:
        async with made.open_application() as application:
            await log_in_with_money(made, application)
        yield made


async def list_trips(sandbox: TripSandbox) -> list[tuple[str, str]]:
    return [(trip["kind"], trip["outcome"]) for trip in (await sandbox.run_command("trips", "--json")).data]


def check_nothing_was_ordered(sandbox: TripSandbox) -> None:
    assert list(sandbox.cloud.burning()) == []
    assert [line for line in sandbox.cloud.ledgers()["mistgpu"] if line.kind == "usage"] == []


async def type_command(sandbox: TripSandbox, hint: str, folder: Path | None = None) -> CommandLineResult:
    """Run the command that the last line of ``hint`` ends with, as a user would copy it."""
    command = shlex.split(hint.strip().splitlines()[-1].partition(": ")[2])
    assert command[0] == "gpurent"
    return await sandbox.run_command(*command[1:], folder=folder)


# spending


async def test_a_terminal_shows_the_price_and_asks_once(sandbox: TripSandbox) -> None:
    no = await sandbox.run_at_terminal(*RENT, "--deadline", "5h", answers={"Rent this machine? [y/N]": ""})
    assert no.code == Declined.exit_code
    for part in ("2080Ti", "mistgpu", "3 CNY/h", "3.00 CNY for the first hour", "10.00 CNY", "5 h after"):
        assert part in no.err
    check_nothing_was_ordered(sandbox)
    answers = {"Rent this machine? [y/N]": "y", "Connect to ": "y"}
    yes = await sandbox.run_at_terminal(*RENT, "--json", answers=answers)
    assert yes.code == 0, yes.err
    assert yes.err.count("[y/N]") == 2
    assert await list_trips(sandbox) == [("rent", "failed: declined"), ("rent", "done")]


async def test_without_a_terminal_nothing_is_spent_and_the_hint_works(sandbox: TripSandbox) -> None:
    result = await sandbox.run_command(*RENT)
    assert result.code == ConfirmationRequired.exit_code
    check_nothing_was_ordered(sandbox)
    assert await list_trips(sandbox) == [("rent", "failed: input-required")], "nothing is left to be resumed"
    hint = (await sandbox.run_command("--json", *RENT)).out
    found = re.search(r'"hint": "(.*?)", "spent": "no"', hint)
    assert found is not None, hint
    assert (await type_command(sandbox, found[1].replace("\\n", "\n"))).code == 0


@pytest.mark.parametrize(
    ("options", "config", "code"),
    [
        (("--budget", "5CNY"), "", 0),
        (("--budget", "1CNY"), "", 5),
        ((), '[budget]\nmonth = "5CNY"\n', 0),
        ((), '[budget.mistgpu]\nmonth = "5CNY"\n', 0),
        ((), '[budget]\nmonth = "1CNY"\n', 5),
        ((), '[budget.1024gpu]\nmonth = "500CNY"\n', 11),
    ],
)
async def test_only_a_budget_of_the_user_spends_without_a_question(
    sandbox: TripSandbox, options: tuple[str, ...], config: str, code: int
) -> None:
    (sandbox.home / "state" / "config.toml").write_text(config)
    result = await sandbox.run_command(*RENT, *options)
    assert result.code == code, result.err
    assert ("3 CNY/h" in result.err) == (code != 5), "the price is shown anyway"


async def trust_project(sandbox: TripSandbox, folder: Path) -> None:
    content = (folder / "gpurent.toml").read_bytes()
    trusted = await sandbox.run_command("trust", "--sha256", sha256(content).hexdigest(), folder=folder)
    assert trusted.code == 0, trusted.err


async def test_an_untrusted_project_file_orders_nothing_even_with_yes(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    folder = make_project(tmp_path, train="print(1)")
    (folder / "gpurent.toml").write_text('provider = ["mistgpu"]\ncommand = ["train.py"]\n')
    refused = await sandbox.run_command("-y", "run", "--budget", "5CNY", folder=folder)
    assert refused.code == InputRequired.exit_code
    check_nothing_was_ordered(sandbox)
    assert (await sandbox.run_command("trips", "--json")).data == []
    assert (await type_command(sandbox, refused.err, folder)).code == 0
    assert (await sandbox.run_command("-y", "run", folder=folder)).code == 0
    trip = (await sandbox.run_command("trips", "--json")).data[0]["id"]
    project = (await sandbox.run_command("trips", "show", trip, "--json")).data["spec"]["project"]
    assert project["path"] == str(folder / "gpurent.toml")
    assert project["fields"] == ["provider", "command"]


async def test_a_plan_shows_all_that_the_file_decides_and_trusts_nothing(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    folder = make_project(tmp_path, train="print(1)")
    lines = [
        'provider = ["mistgpu"]', 'command = ["train.py"]', 'setup = ["make", "sh x; y"]', 'results_dir = "res"',
        'idle = "2h"', "keep = true", 'notify = ["failed"]', 'budget = "5CNY"',
    ]  # fmt: skip
    (folder / "gpurent.toml").write_text("\n".join(lines))
    plan = await sandbox.run_command("-y", "plan", "--budget", "4CNY", folder=folder)
    assert plan.code == 0, plan.err
    assert "is not trusted; `gpurent run` asks first" in plan.out
    for line in (*lines, f"to {folder}/res: what the job made", f"from {folder}: everything"):
        assert line in plan.out
    assert 'budget = "5CNY" (replaced by an option)' in plan.out
    assert (await sandbox.run_command("trust", "--list", "--json")).data == []
    await trust_project(sandbox, folder)
    found = (await sandbox.run_command("plan", "--json", folder=folder)).data["project"]
    assert (found["trust"], found["values"]["setup"]) == ("trusted", ["make", "sh x; y"])
    assert {limit["name"]: limit["is_ignored"] for limit in found["limits"]} == {
        "idle": False,
        "notify": False,
        "budget": False,
    }


async def test_a_budget_in_a_project_file_limits_but_never_authorizes(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    folder = make_project(tmp_path, train="print(1)")
    (folder / "gpurent.toml").write_text('provider = ["mistgpu"]\nbudget = "5CNY"\ncommand = ["train.py"]\n')
    await trust_project(sandbox, folder)
    refused = await sandbox.run_command("run", "--json", folder=folder)
    assert refused.code == ConfirmationRequired.exit_code
    assert "agree to the price" in refused.out
    check_nothing_was_ordered(sandbox)
    (folder / "gpurent.toml").write_text('provider = ["mistgpu"]\nbudget = "1CNY"\ncommand = ["train.py"]\n')
    await trust_project(sandbox, folder)
    assert (await sandbox.run_command("-y", "run", folder=folder)).code == 5


@pytest.mark.nightly
async def test_a_resumed_trip_asks_for_the_price_of_now(sandbox: TripSandbox, tmp_path: Path) -> None:
    spec = make_spec(make_project(tmp_path, train="print(1)"), "train.py")
    async with sandbox.open_application(ScriptedUser(agrees_to_price=None)) as application:
        trip = (await application.trip_tracker.begin_trip("run", spec)).id
        with pytest.raises(ConfirmationRequired):
            await application.trips.resume(trip)
        assert (await application.trip_tracker.get_trip(trip)).is_open, (
            "the hint is to type the same command again"
        )
    for machine in sandbox.get_simulator_state("mistgpu").machines.values():
        machine.price = 450
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        assert (await application.trips.resume(trip)).exit_code == 0
    (asked,) = [question for question in user.questions if question.id.startswith("spend:")]
    assert "4.5 CNY/h" in asked.details[0]


def propose(price: str) -> SpendingProposal:
    money = CNY.money(price)
    return SpendingProposal(
        price=UnitPrice(money.decimal, CNY),
        highest=money,
        deposit=None,
        question="Rent?",
        details=(f"it costs {money}",),
    )


async def test_an_authorization_is_recorded_and_covers_no_higher_price(sandbox: TripSandbox) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        trip = await application.trip_tracker.begin_trip("rent", TripSpec(provider="mistgpu"))
        authorizer = application.money.spending
        for price, questions in (("3.00", 1), ("3.00", 1), ("2.00", 1), ("3.01", 2), ("3.01", 2)):
            await authorizer.require_authorization(trip, "mistgpu", TripLimits(), propose(price))
            assert len(user.questions) == questions, price
        recorded = await trip.find_result("authorize", SpendingAuthorization)
    assert recorded is not None
    assert recorded.by is AuthorizedBy.USER
    nobody = ScriptedUser(agrees_to_price=None)
    async with sandbox.open_application(nobody) as application:
        trip = application.trip_tracker.context_of(trip.id)
        await application.money.spending.require_authorization(trip, "mistgpu", TripLimits(), propose("3.01"))
        with pytest.raises(ConfirmationRequired):
            await application.money.spending.require_authorization(
                trip, "mistgpu", TripLimits(), propose("3.02")
            )
    assert [event.text for event in nobody.events if event.kind is EventKind.PRICE] == ["it costs 3.02 CNY"]


@pytest.mark.nightly
async def test_restart_asks_for_its_price(sandbox: TripSandbox) -> None:
    lease = (await sandbox.run_command("-y", *RENT, "--json")).data["id"]
    assert (await sandbox.run_command("release", lease)).code == 0, "nothing is lost, nothing is asked"
    result = await sandbox.run_command("restart", lease)
    assert result.code == ConfirmationRequired.exit_code
    assert "3 CNY/h" in result.err
    assert list(sandbox.cloud.burning()) == []
    assert [outcome for kind, outcome in await list_trips(sandbox) if kind == "restart"] == [
        "failed: input-required"
    ]
    assert (await sandbox.run_at_terminal("restart", lease, answers={"Start this machine?": "y"})).code == 0


# releasing


async def test_a_running_job_is_not_ended_by_accident(sandbox: TripSandbox) -> None:
    lease = (await sandbox.run_command("-y", *RENT, "--json")).data["id"]
    assert (await sandbox.run_command("start", lease, "--name", "long", "--", "sleep", "900")).code == 0
    result = await sandbox.run_command("release", lease)
    assert result.code == ConfirmationRequired.exit_code
    assert "job long has been running since" in result.err
    assert len(sandbox.cloud.burning()) == 1
    no = await sandbox.run_at_terminal("release", lease, answers={f"Release {lease}?": "n"})
    assert no.code == Declined.exit_code
    assert len(sandbox.cloud.burning()) == 1
    assert (await type_command(sandbox, result.err.partition("Nothing was charged.")[0])).code == 0
    assert list(sandbox.cloud.burning()) == []


async def test_an_unreachable_machine_can_be_released(
    sandbox: TripSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_review, "LOOK_SECONDS", 0.5)
    lease = (await sandbox.run_command("-y", *RENT, "--json")).data["id"]
    (machine,) = sandbox.cloud.driver.list_machines()
    await sandbox.cloud.driver.freeze(machine.id, frozen=True)
    async with sandbox.open_application(ScriptedUser(agrees_to_price=None)) as application:
        with pytest.raises(
            ConfirmationRequired, match="could not be asked what is running on it: it did not"
        ):
            await application.release_review.require_release(lease)
    user = ScriptedUser(answers={f"Release {lease}?": "release"})
    async with sandbox.open_application(user) as application:
        await application.release_review.require_release(lease)
        await application.releases.release_lease(lease)
    assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_a_release_under_a_running_trip(sandbox: TripSandbox, tmp_path: Path) -> None:
    """Both sides say what happened, and the results are downloaded first if the user wants that."""
    folder = make_project(tmp_path, train=LONG_JOB)
    run = ("run", "-p", "mistgpu", "--results", "out/mod*", "--", "train.py")
    process = await sandbox.start_command("-y", *run, folder=folder)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert b"begun" in await process.stdout.readline()
    (trip,) = (await sandbox.run_command("trips", "--json")).data
    runner = f"gpurent run (process {process.pid} on "
    # The same command again.
    again = await sandbox.run_command(*run, folder=folder)
    assert again.code == ConfirmationRequired.exit_code
    assert f"trip {trip['id']} of the same command and folder is being executed by {runner}" in again.err
    assert len(sandbox.cloud.burning()) == 1
    asked = await sandbox.run_command("release", trip["lease"])
    assert asked.code == ConfirmationRequired.exit_code
    assert f"is being executed by {runner}" in asked.err
    assert f"job {trip['id']} has been running" in asked.err
    (printed,) = re.findall(r"Download the results: gpurent (.*)", asked.err)
    assert (await sandbox.run_command(*shlex.split(printed))).code == 0
    assert (folder / "out" / "model").read_text() == "weights"
    (folder / "out" / "model").unlink()
    released = await sandbox.run_at_terminal(
        "release", trip["lease"], answers={f"Release {trip['lease']}?": "download"}
    )
    assert released.code == 0, released.err
    assert (folder / "out" / "model").read_text() == "weights"
    _out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 6
    assert "was released by another gpurent command" in errors.decode()
    assert f"gpurent restart {trip['lease']}" in errors.decode()


async def test_the_same_command_again_can_resume(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = make_project(tmp_path, train="import time; time.sleep(3); open('out.txt', 'w').write('x')")
    run = ("run", "-p", "mistgpu", "--results", "out.txt", "--", "train.py")
    assert (await sandbox.run_command("-y", *run[:1], "--detach", *run[1:], folder=folder)).code == 0
    (trip,) = (await sandbox.run_command("trips", "--json")).data
    nobody = await sandbox.run_command(*run, folder=folder)
    assert nobody.code == ConfirmationRequired.exit_code
    assert f"gpurent resume {trip['id']}" in nobody.err
    other = make_spec(folder, "other.py")
    async with sandbox.open_application() as application:
        assert await application.repeated_runs.find_trip_to_resume("run", other) == "", "another command"
    resumed = await sandbox.run_at_terminal(*run, answers={"What now?": "resume"}, folder=folder)
    assert resumed.code == 0, resumed.err
    assert (folder / "out.txt").read_text() == "x"
    assert await list_trips(sandbox) == [("run", "done")]


# uploads


@pytest.mark.parametrize("place", ["home", "above", "root", "vault", "ssh"])
async def test_folders_that_nobody_means_are_refused(sandbox: TripSandbox, place: str) -> None:
    home = sandbox.home
    (home / ".ssh" / "keys").mkdir(parents=True)
    folder = {
        "home": home,
        "above": home.parent,
        "root": Path("/"),
        "vault": home / "state" / "vault",
        "ssh": home / ".ssh" / "keys",
    }[place]
    for command in ("plan", "run"):
        result = await sandbox.run_command(
            "-y", command, "-p", "mistgpu", "--no-results", "--folder", str(folder), "--", "true"
        )
        assert result.code == 2, result.err
        assert "it is not uploaded" in result.err
    assert await list_trips(sandbox) == []
    assert (await sandbox.run_command("push", "x", str(folder))).code == 2


async def test_gpurents_own_folder_is_refused_even_if_it_is_named(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    result = await sandbox.run_command(
        *("-y", "run", "-p", "mistgpu", "--no-results", "--include", "state", "--", "true"),
        folder=sandbox.home,
    )
    assert result.code == 2
    assert "a folder of gpurent itself" in result.err
    (sandbox.home / "train.py").write_text("print(1)")
    planned = await sandbox.run_command(
        *("plan", "--json", "-p", "mistgpu", "--no-results", "--include", "train.py", "--", "train.py"),
        folder=sandbox.home,
    )
    assert planned.data["upload"]["files"] == 1, "a file in the home folder may be named"


async def test_the_plan_shows_what_would_be_uploaded(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = make_project(tmp_path, train="print(1)")
    (folder / ".aws").mkdir()
    (folder / ".aws" / "credentials").write_text("secret")
    (folder / ".env").write_text("A=1")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / ".gitignore").write_text("*.log\n")
    (folder / "a.log").write_text("x")
    result = await sandbox.run_command("plan", "-p", "mistgpu", "--", "train.py", folder=folder)
    assert result.code == 0, result.err
    for line in (
        f"Upload: 3 files, 17 B, from {folder}",
        "The largest: train.py (8 B), .gitignore (6 B), .env (3 B)",
        "Uploaded too, and may hold secrets: .env",
        "Excluded by ignore files: 1 entry: a.log",
        "Left out: .aws: may hold credentials; to upload it anyway, name it explicitly",
        "Left out: link: symbolic link to a target outside the folder: /etc/passwd",
    ):
        assert line in result.out.splitlines(), result.out
