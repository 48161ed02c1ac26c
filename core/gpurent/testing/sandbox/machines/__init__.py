"""Fake rented servers with real SSH, SFTP, screen and tmux; all their processes end with the machine."""

from gpurent.testing.sandbox.machines.driver_selection import find_bwrap_problem, select_driver
from gpurent.testing.sandbox.machines.model import (
    BootedMachine,
    BootFailed,
    DiskInUse,
    DriverName,
    MachineDriver,
    MachineError,
    MachineSpec,
    StopCallback,
)

__all__ = [
    "BootFailed",
    "DiskInUse",
    "DriverName",
    "BootedMachine",
    "MachineDriver",
    "MachineError",
    "MachineSpec",
    "StopCallback",
    "select_driver",
    "find_bwrap_problem",
]
