"""A plugin with mistakes beside ones that work: it is named, and nothing else suffers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import JobSpec, ResultsSpec, TripSpec, UploadSpec
from gpurent.errors import InternalError, PluginError
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.workflow.broken_plugin import PROVIDER, install
from tests.workflow.test_failures import check_nothing_burns, log_in_with_money
from tests.workflow.trip_sandbox import ROOT, ScriptedUser, TripSandbox, trip_sandbox

PACKAGE = "(tests) failed: "  # the top-level package of the plugin's module


@pytest.fixture
async def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TripSandbox]:
    site = tmp_path / "site"
    site.mkdir()
    install(site)
    monkeypatch.syspath_prepend(str(site))
    async with trip_sandbox(tmp_path, speed=60) as made:
        made.extra_environment["PYTHONPATH"] = f"{site}:{ROOT}"
        yield made


async def run_fresh(sandbox: TripSandbox, *arguments: str) -> CommandLineResult:
    """Run the command line in a process that loads the plugin."""
    sandbox.home.mkdir(mode=0o700, exist_ok=True)
    process = await sandbox.start_command(*arguments, stdin=asyncio.subprocess.DEVNULL)
    out, err = await process.communicate()
    assert process.returncode is not None
    return CommandLineResult(process.returncode, out.decode(), err.decode())


async def rent_two(sandbox: TripSandbox, application: Application) -> tuple[str, str]:
    """Rent a machine, and let the broken provider have one too."""
    await log_in_with_money(sandbox, application)
    good = await application.trips.rent(TripSpec(provider="mistgpu", requirements=Requirements(gpus=1)))
    bad = evolve(good, id="broken-1", provider=PROVIDER, ref="1", offer=evolve(good.offer, provider=PROVIDER))
    await application.leases.save_lease(bad)
    return good.id, bad.id


@pytest.mark.nightly
async def test_offers_and_listings_show_the_others_and_name_the_plugin(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        good, bad = await rent_two(sandbox, application)
    result = await run_fresh(sandbox, "offers", "--json")
    assert result.code == 0, result.err
    assert "mistgpu" in {offer["provider"] for offer in result.data}, result.out[:300]
    assert f"'{PROVIDER}' {PACKAGE}KeyError" in result.out
    result = await run_fresh(sandbox, "ls", "--refresh", "--json")
    assert result.code == 0, result.err
    notes = {lease["id"]: lease["note"] for lease in result.data}
    assert set(notes) == {good, bad}
    assert f"{PACKAGE}TypeError: refresh_lease returned NoneType" in notes[bad]
    assert notes[good] == ""


async def test_the_guard_goes_on_with_the_others(sandbox: TripSandbox) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        good, _bad = await rent_two(sandbox, application)
        report = await application.guard.run_once()
        assert good in [result.facts.lease.id for result in report.results]
        assert PROVIDER in report.failures[PROVIDER]
        assert any(PROVIDER in event.text for event in user.events)


@pytest.mark.nightly
async def test_tools_that_cannot_be_built_are_left_out_before_money_leaves(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "train.py").write_text("open('out.txt', 'w').write('1')")
    spec = TripSpec(
        provider="mistgpu",
        upload=UploadSpec(folder=str(folder)),
        job=JobSpec(command=("train.py",)),
        results=ResultsSpec(paths=("out.txt",)),
    )
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        for named in (
            evolve(spec, upload=evolve(spec.upload, transfer="broken-copy")),
            evolve(spec, job=evolve(spec.job, session="broken-session")),
        ):
            with pytest.raises(PluginError, match="fast_copy"):
                await application.dry_run.preview_trip(named)
            with pytest.raises(PluginError, match="fast_copy") as caught:
                await application.trips.run(named)
            assert caught.value.spent is not None
            assert caught.value.spent.value == "no"
            assert sandbox.get_simulator_state("mistgpu").servers == {}, "nothing was ordered"
        end = await application.trips.run(spec)
        assert end.exit_code == 0
    left_out = [event.text for event in user.events if "is left out" in event.text]
    assert [text.split()[0] for text in left_out] == ["broken-copy", "broken-session"]
    assert (folder / "out.txt").read_text() == "1"
    check_nothing_burns(sandbox)


async def test_what_nobody_foresaw_leaves_the_running_job_to_resume(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "train.py").write_text("import time; open('out.txt', 'w').write('1'); time.sleep(2)")
    user = ScriptedUser()

    def fail(event: object) -> None:
        if getattr(event, "step", "").endswith(".monitor"):
            raise ArithmeticError("nobody foresaw this")

    async with sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        user.watchers.append(fail)
        spec = TripSpec(
            provider="mistgpu", upload=UploadSpec(folder=str(folder)), job=JobSpec(command=("train.py",))
        )
        with pytest.raises(InternalError, match="ArithmeticError") as caught:
            await application.trips.run(spec)
        assert caught.value.spent is not None
        assert caught.value.spent.value == "yes"
        (trip,) = await application.trip_tracker.list_trips()
        assert trip.outcome_text == ""
        assert caught.value.burning == (trip.lease,)
        assert f"gpurent resume {trip.id}" in caught.value.hint
        user.watchers.clear()
        assert (await application.trips.resume(trip.id)).exit_code == 0
    assert (folder / "out.txt").read_text() == "1"
    check_nothing_burns(sandbox)


async def test_a_failure_of_the_plugin_has_a_report_and_keeps_the_document(sandbox: TripSandbox) -> None:
    result = await run_fresh(sandbox, "balance", PROVIDER, "--json")
    assert result.code == PluginError.exit_code
    error = json.loads(result.out)["error"]
    assert (error["code"], error["spent"]) == ("plugin", None)
    report = Path(error["hint"].rpartition(" ")[2])
    assert report.parent == sandbox.home / "state" / "logs"
    assert "ZeroDivisionError" in read_text(report)


def read_text(path: Path) -> str:
    return path.read_text()
