"""The odd machines, by their names."""

from __future__ import annotations

from collections.abc import Mapping

from tests.machines.catalogue.disks import DISKS
from tests.machines.catalogue.programs import PROGRAMS
from tests.machines.catalogue.servers import SERVERS
from tests.machines.catalogue.shells import SHELLS
from tests.machines.catalogue.start_files import START_FILES
from tests.machines.catalogue.surroundings import SURROUNDINGS
from tests.machines.machine import OddMachine

GROUPS: Mapping[str, tuple[OddMachine, ...]] = {
    "Login shells": SHELLS,
    "Start files": START_FILES,
    "SSH servers and networks": SERVERS,
    "Programs": PROGRAMS,
    "Folders": DISKS,
    "Users, locales, clocks": SURROUNDINGS,
}
MACHINES: Mapping[str, OddMachine] = {odd.name: odd for group in GROUPS.values() for odd in group}
