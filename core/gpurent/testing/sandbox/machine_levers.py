"""What a tester can do to one machine of a running sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from attrs import frozen

from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.testing.sandbox.machines.model import BootedMachine, MachineDriver

MachineLever = Literal["refuse", "freeze", "kill", "fill", "rekey", "hide"]


@frozen
class MachineLevers:
    """The levers of all machines of ``driver``."""

    driver: MachineDriver

    def list_machines(self) -> Sequence[dict[str, Any]]:
        """Return the machines that are on, and what was done to them, as plain data."""
        return [_describe_machine(machine) for machine in self.driver.list_machines()]

    async def pull(self, lever: MachineLever, ref: str, program: str = "", *, off: bool = False) -> None:
        """Do it to the machine ``ref``, or undo it. Raises `UsageError` if that is not possible.

        ``ref``: its id, host name, disk or port. ``program``: what to hide.
        """
        machine = self._find(ref)
        if lever == "refuse":
            await self.driver.refuse_connections(machine.id, not off)
        elif lever == "freeze":
            await self.driver.freeze(machine.id, not off)
        elif lever == "fill":
            await self.driver.fill_disk(machine.id, not off)
        elif lever == "hide":
            await self.driver.hide_program(machine.id, program, not off)
        elif lever == "kill":
            await self.driver.kill(machine.id)
        else:
            await self.driver.change_host_key(machine.id)

    def _find(self, ref: str) -> BootedMachine:
        found = [machine for machine in self.driver.list_machines() if ref in _list_names(machine)]
        if len(found) != 1:
            text = _("several machines are called {ref}") if found else _("no machine is called {ref}")
            raise UsageError(text.format(ref=ref), hint=_("See: gpurent sandbox machine list"))
        return found[0]


def _list_names(machine: BootedMachine) -> tuple[str, ...]:
    return machine.id, machine.spec.hostname, machine.spec.data, str(machine.port)


def _describe_machine(machine: BootedMachine) -> dict[str, Any]:
    return {
        "id": machine.id,
        "hostname": machine.spec.hostname,
        "disk": machine.spec.data,
        "user": machine.spec.user,
        "port": machine.port,
        "refused": machine.proxy.plan.refuse,
        "frozen": machine.is_frozen,
        "full": machine.is_full,
        "hidden": sorted(machine.hidden_programs),
    }
