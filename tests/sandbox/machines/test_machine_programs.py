"""Missing programs, apt-get and sudo to install them, and an old Python."""

import pytest

from tests.sandbox.machines.driver_fixture import DriverFixture

NEW_SYNTAX = {
    "f-string": 'x = 1\nprint(f"{x}")\n',
    "annotation": "x: int = 1\n",
    "annotated argument": "def f(x: int): pass\n",
    "return annotation": "def f() -> None: pass\n",
    "keyword-only": "def f(*, x): pass\n",
    "print end": 'print("x", end="")\n',
    "nonlocal": "def f():\n    x = 1\n    def g():\n        nonlocal x\n",
    "async": "async def f(): pass\n",
    "walrus": "if (x := 1): pass\n",
    "yield from": "def f():\n    yield from []\n",
    "raise from": "try:\n    pass\nexcept Exception as e:\n    raise ValueError from e\n",
    "starred": "a, *b = [1, 2]\n",
    "metaclass": "class A(metaclass=type): pass\n",
    "digits": "x = 1_000\n",
    "not ascii": "# 训练\n",
}
OLD_SYNTAX = {
    "plain": 'print("%s" % 1)\n',
    "future print": 'from __future__ import print_function\nprint("x", end="")\n',
    "coding": "# -*- coding: utf-8 -*-\n# 训练\n",
    "star call": "def f(*a, **k): return a\nf(*[1], **{})\n",
}


async def test_a_missing_program_comes_with_apt_get(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot(missing=("screen",))
    done = await driver_fixture.run_command(machine, "screen -ls")
    assert done.exit_status == 127
    assert "not found" in done.stderr
    assert (await driver_fixture.run_command(machine, "command -v screen || which screen")).exit_status == 1
    assert "Setting up screen" in await driver_fixture.read_output(machine, "apt-get install screen")
    assert "newest version" in await driver_fixture.read_output(machine, "apt-get install -y screen")
    await driver_fixture.read_output(machine, "screen -dmS job sleep 60 && command -v screen")


async def test_sudo_apt_install(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot(missing=("screen", "tmux"))
    command = (
        "sudo -n apt-get -qq update && sudo -E DEBIAN_FRONTEND=noninteractive apt install -y screen tmux"
    )
    assert "Setting up tmux" in await driver_fixture.read_output(machine, command)
    await driver_fixture.read_output(machine, "tmux -V && echo pw | sudo -S screen -v | grep -q Screen")


async def test_an_unknown_package(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot(missing=("screen",))
    done = await driver_fixture.run_command(machine, "apt-get install -y no-such-thing")
    assert (done.exit_status, done.stderr) == (100, "E: Unable to locate package no-such-thing\n")


async def test_installed_programs_are_gone_after_a_new_boot(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot(missing=("screen",))
    await driver_fixture.read_output(machine, "apt-get install -y screen")
    await driver_fixture.driver.kill(machine.id)
    again = await driver_fixture.boot(missing=("screen",))
    assert (await driver_fixture.run_command(again, "command -v screen")).exit_status == 1


async def test_python_is_python3_by_default(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    assert (await driver_fixture.read_output(machine, "python --version")).startswith("Python 3.")


async def test_python2_refuses_what_python3_runs(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot(python="python2")
    await driver_fixture.read_output(machine, "echo 'x = 6' > t.py; echo 'print(f\"{x * 7}\")' >> t.py")
    done = await driver_fixture.run_command(machine, "python t.py")
    assert done.exit_status == 1
    assert 'File "t.py", line 2' in done.stderr
    assert done.stderr.endswith("SyntaxError: invalid syntax\n")
    assert await driver_fixture.read_output(machine, "python3 t.py") == "42\n"
    assert "Python 2.7" in await driver_fixture.read_output(machine, "python --version 2>&1")


async def test_python2_checks_only_syntax(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot(python="python2")
    async with driver_fixture.open_connection(machine) as connection:
        for name, source in (NEW_SYNTAX | OLD_SYNTAX).items():
            done = await connection.run("python -", input=source)
            assert (done.exit_status == 1) == (name in NEW_SYNTAX), (name, done.stdout, done.stderr)
            assert ("SyntaxError" in str(done.stderr)) == (name in NEW_SYNTAX), name


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("python -c 'import sys; print(sys.argv[1])' a", "a\n"),
        ("echo 'import sys; print(sys.argv[1:])' > a.py; python -u a.py b -c", "['b', '-c']\n"),
        ("python -m json.tool --help | head -c 5", "usage"),
    ],
)
async def test_python2_runs_old_scripts_with_their_arguments(
    driver_fixture: DriverFixture, command: str, output: str
) -> None:
    machine = await driver_fixture.boot(python="python2")
    assert await driver_fixture.read_output(machine, command) == output
