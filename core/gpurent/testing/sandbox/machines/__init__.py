"""Fake rented servers: real SSH and SFTP, real screen and tmux, and one end for all that runs in them."""

from gpurent.testing.sandbox.machines.drivers import pick_driver, why_not_bwrap
from gpurent.testing.sandbox.machines.model import (
    BootFailed,
    DiskInUse,
    DriverName,
    Machine,
    MachineDriver,
    MachineError,
    MachineSpec,
    StopCallback,
)

__all__ = [
    "BootFailed",
    "DiskInUse",
    "DriverName",
    "Machine",
    "MachineDriver",
    "MachineError",
    "MachineSpec",
    "StopCallback",
    "pick_driver",
    "why_not_bwrap",
]
