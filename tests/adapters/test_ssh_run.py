"""What `run` promises: status, both outputs, bounds in size and time, and a lost line told from a failed command."""

from __future__ import annotations

import asyncio
import time
from time import monotonic

import pytest
from attrs import evolve

from gpurent.errors import RemoteError, UnavailableError
from gpurent.infra.ssh.connection import LARGEST
from gpurent.testing.sandbox.faults import Plan
from gpurent.testing.yard import LEASE, Yard, endpoint_of, eventually


async def test_status_output_and_input(yard: Yard) -> None:
    machine = await yard.boot()
    async with yard.link(machine) as link:
        ran = await link.run("cat; echo oops >&2; exit 3", input="一行\nno end")
        assert (ran.status, ran.out, ran.err) == (3, "一行\nno end", "oops\n")
        ran = await link.run("true")
        assert (ran.status, ran.out, ran.err) == (0, "", "")
        home = await link.run('[ "$PWD" = "$HOME" ] && echo home')
        assert home.out == "home\n"
        assert link.alive


async def test_bytes_that_are_no_utf8_do_not_break_it(yard: Yard) -> None:
    machine = await yard.boot()
    async with yard.link(machine) as link:
        ran = await link.run(r"printf 'a\377\376b'")
    assert ran.out == "a\ufffd\ufffdb"


async def test_a_command_ended_by_a_signal_has_a_status_and_is_no_lost_line(yard: Yard) -> None:
    machine = await yard.boot()
    async with yard.link(machine) as link:
        assert (await link.run("kill -9 $$")).status >= 128
        assert (await link.run("echo on")).out == "on\n"


async def test_commands_at_once_share_the_line(yard: Yard) -> None:
    machine = await yard.boot()
    async with yard.link(machine) as link:
        ran = await asyncio.gather(*(link.run(f"sleep 0.1; echo {n}") for n in range(5)))
    assert [one.out for one in ran] == [f"{n}\n" for n in range(5)]


async def test_a_command_that_ends_before_its_input_is_written_is_no_lost_line(yard: Yard) -> None:
    """A busy computer of ours sees "started", the output and the end of a short command all at once."""
    machine = await yard.boot()

    async def busy() -> None:
        while True:
            time.sleep(0.015)  # noqa: ASYNC251 - to hold the loop up is the point
            await asyncio.sleep(0)

    async with yard.link(machine) as link:
        burden = asyncio.create_task(busy())
        ran = [await link.run("echo on", input="nobody reads this") for _ in range(4)]
        burden.cancel()
    assert [one.out for one in ran] == ["on\n"] * 4


async def test_output_up_to_the_bound_arrives_whole(yard: Yard) -> None:
    machine = await yard.boot()
    async with yard.link(machine) as link:
        assert len((await link.run(f"head -c {LARGEST} /dev/zero")).out) == LARGEST


@pytest.mark.parametrize("command", ["yes; sleep 60", "yes >&2; sleep 60"])
async def test_output_is_bounded(yard: Yard, command: str) -> None:
    machine = await yard.boot()
    async with yard.link(machine) as link:
        before = monotonic()
        with pytest.raises(RemoteError, match="larger than"):
            await link.run(command)
        assert monotonic() - before < 20
        assert link.alive


async def test_a_command_that_takes_too_long(yard: Yard) -> None:
    machine = await yard.boot()
    async with yard.link(machine) as link:
        before = monotonic()
        with pytest.raises(UnavailableError, match=r"no answer within 0\.5 s"):
            await link.run("sleep 60", timeout=0.5)
        assert monotonic() - before < 4
        assert (await link.run("echo on")).out == "on\n"


async def test_the_time_limit_holds_on_a_line_that_has_fallen_silent(yard: Yard) -> None:
    machine = await yard.boot()
    link = await yard.open(machine)
    machine.line.plan = Plan(stall=True)
    for command in ("echo never", "cat"):
        before = monotonic()
        with pytest.raises(UnavailableError) as caught:
            await link.run(command, timeout=1)
        assert monotonic() - before < 3
        assert caught.value.message
    before = monotonic()
    await link.aclose()
    assert monotonic() - before < 5
    assert not link.alive


async def test_r4_a_cut_line_is_retryable_and_the_next_one_works(yard: Yard) -> None:
    machine = await yard.boot()
    link = await yard.open(machine)
    running = asyncio.create_task(link.run("touch begun; sleep 60"))
    async with yard.link(machine, "lease-2") as other:

        async def begun() -> bool:
            return not (await other.run("test -e begun")).status

        await eventually(begun)
    await yard.driver.cut(machine.id)
    with pytest.raises(UnavailableError) as caught:
        await asyncio.wait_for(running, 5)
    assert caught.value.retryable
    assert not link.alive
    with pytest.raises(UnavailableError) as caught:
        await link.run("echo too late")
    assert caught.value.retryable
    await link.aclose()
    async with yard.link(machine) as again:
        assert (await again.run("echo back")).out == "back\n"


async def test_a_machine_that_loses_its_power_is_retryable(yard: Yard) -> None:
    machine = await yard.boot()
    link = await yard.open(machine)
    running = asyncio.create_task(link.run("sleep 60"))
    await asyncio.sleep(0.2)
    await yard.driver.kill(machine.id)
    with pytest.raises(UnavailableError) as caught:
        await asyncio.wait_for(running, 5)
    assert caught.value.retryable
    await link.aclose()


async def test_a_machine_that_accepts_and_says_nothing_runs_into_the_time_limit(yard: Yard) -> None:
    from gpurent.infra.ssh.client import Ssh

    machine = await yard.boot()
    machine.line.plan = Plan(stall=True)
    ssh = Ssh(yard.folder, connect_timeout=1)
    patient = evolve(yard, ssh=ssh)
    before = monotonic()
    with pytest.raises(UnavailableError) as caught:
        await patient.open(machine)
    assert monotonic() - before < 5
    assert caught.value.retryable


@pytest.mark.parametrize("at", [0, 1, 50, 900, 2000, 2400])
async def test_r4_a_cut_anywhere_in_the_login_is_retryable_and_the_next_login_works(
    yard: Yard, at: int
) -> None:
    machine = await yard.boot()
    await yard.ssh.pin(LEASE, endpoint_of(machine))

    async def silent() -> bool:
        return not machine.line.connections

    await eventually(silent)
    machine.line.plan = Plan(cut_up=at, times=1)
    with pytest.raises(UnavailableError) as caught:
        await yard.open(machine)
    assert caught.value.retryable
    async with yard.link(machine) as link:
        assert (await link.run("wc -l < ~/.ssh/authorized_keys")).out.strip() == "1"
