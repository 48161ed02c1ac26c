"""Sessions: streams, exit status, signals, terminals, environment, port forwarding."""

import asyncio
import hashlib
import os
import re
from typing import Any

import asyncssh
import pytest

from gpurent.testing.sandbox.machines.supervisor_client import SupervisorClient
from tests.sandbox.machines.driver_fixture import DriverFixture


async def test_status_and_separate_streams(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    done = await driver_fixture.run_command(machine, "echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.exit_status) == ("out\n", "err\n", 3)


async def test_standard_input_and_its_end(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    data = os.urandom(3_000_000)
    done = await driver_fixture.run_command(machine, "sha256sum", input=data, encoding=None)
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


async def test_much_output_arrives_whole(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    done = await driver_fixture.run_command(
        machine, "head -c 5000000 /dev/zero; echo tail >&2", encoding=None
    )
    assert (len(done.stdout), done.stderr) == (5_000_000, b"tail\n")


async def test_a_signal_ends_a_command(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    async with driver_fixture.open_connection(machine) as connection:
        process = await connection.create_process("echo ready; exec sleep 60")
        await process.stdout.readline()
        process.send_signal("TERM")
        done = await asyncio.wait_for(process.wait(), 10)
    assert done.exit_signal is not None
    assert done.exit_signal[0] == "TERM"


async def test_a_detached_child_with_its_own_output_does_not_hold_the_session(
    driver_fixture: DriverFixture,
) -> None:
    machine = await driver_fixture.boot()
    done = await driver_fixture.run_command(
        machine, "setsid sleep 60 >/dev/null 2>&1 </dev/null & echo started"
    )
    assert done.stdout == "started\n"


async def test_command_on_a_terminal_may_end_before_its_output_is_read(
    driver_fixture: DriverFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn = SupervisorClient.spawn

    async def slow(self: SupervisorClient, *args: Any, **more: Any) -> Any:
        child = await spawn(self, *args, **more)
        await asyncio.shield(child.ended)
        return child

    monkeypatch.setattr(SupervisorClient, "spawn", slow)
    machine = await driver_fixture.boot()
    done = await driver_fixture.run_command(machine, "echo said; exit 3", term_type="xterm")
    assert (done.stdout, done.exit_status) == ("said\r\n", 3)


async def test_terminal_size_and_its_change(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    async with driver_fixture.open_connection(machine) as connection:
        process = await connection.create_process(
            "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.05; done",
            term_type="xterm",
            term_size=(77, 33),
        )
        assert (await process.stdout.readline()).strip() == "33 77"
        process.change_terminal_size(100, 40)
        assert (await asyncio.wait_for(process.stdout.readline(), 10)).strip() == "40 100"


async def test_an_interactive_shell(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    async with driver_fixture.open_connection(machine) as connection:
        shell = await connection.create_process(term_type="xterm", term_size=(200, 24))
        shell.stdin.write("tty; echo $((6 * 7)); exit 5\n")
        output = await asyncio.wait_for(shell.stdout.read(), 10)
        done = await shell.wait()
    assert re.search(r"/dev/pts/\d+\r\n42\r\n", output)
    assert "mist@gpu28:~$ " in output
    assert done.exit_status == 5


async def test_the_environment_is_clean(
    driver_fixture: DriverFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLERS_SECRET", "leaked")
    machine = await driver_fixture.boot()
    lines = (await driver_fixture.read_output(machine, "env")).splitlines()
    env = dict(line.partition("=")[::2] for line in lines)
    assert "CALLERS_SECRET" not in env
    assert env["HOME"] == machine.home
    assert env["LANG"] == "C.UTF-8"
    assert env["SHELL"] == "/bin/bash"
    allowed = {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "MAIL", "SHLVL", "PWD", "OLDPWD", "_"}
    allowed |= {"SCREENDIR", "TMUX_TMPDIR", "TMPDIR", "SSH_CLIENT", "SSH_CONNECTION"}
    assert set(env) <= allowed


async def test_the_client_may_send_its_language_and_no_more(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    async with driver_fixture.open_connection(machine) as connection:
        sent = {"LC_TIME": "zh_CN.UTF-8", "LD_PRELOAD": "evil.so"}
        done = await connection.run("echo $LC_TIME $LD_PRELOAD", env=sent)
    assert done.stdout == "zh_CN.UTF-8\n"


async def test_a_login_shell_has_the_same_path(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot(missing=("screen",))
    paths = await driver_fixture.read_output(machine, "echo $PATH; bash -lc 'echo $PATH'")
    first, second = paths.split()
    assert first == second


async def test_a_forward_to_loopback(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server, driver_fixture.open_connection(machine) as connection:
        reader, writer = await connection.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        assert await asyncio.wait_for(reader.read(), 10) == b"hello"
        writer.close()


async def test_a_forward_elsewhere_is_refused(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    async with driver_fixture.open_connection(machine) as connection:
        try:
            await connection.open_connection("192.0.2.1", 80)
        except asyncssh.ChannelOpenError:
            return
    raise AssertionError("it was allowed")


async def test_many_sessions_on_one_connection(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    async with driver_fixture.open_connection(machine) as connection:
        done = await asyncio.gather(*(connection.run(f"echo {n}; exit {n}") for n in range(10)))
    assert [(each.stdout, each.exit_status) for each in done] == [(f"{n}\n", n) for n in range(10)]
