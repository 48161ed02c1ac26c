"""Machines whose folders are small, full, read-only, elsewhere or not there."""

from __future__ import annotations

from tests.machines.machine import ADOPT, Full, OddMachine

_JOBS = ("start screen", "start tmux", "logs", "attach", "stop")

DISKS = (
    OddMachine(
        name="no /run/screen",
        summary="`/run/screen` is missing, and the user may not make it",
        bwrap=("--perms", "0555", "--tmpfs", "/run"),
        limits=dict.fromkeys(("start screen", "logs", "attach", "stop"), "--session tmux"),
    ),
    OddMachine(
        name="home full",
        summary="the home folder is full to the last byte, after the machine was adopted",
        disk_bytes=24_000_000,
        full=Full.ADOPTED,
        doctor_finds="disk-unwritable",
        limits={
            **dict.fromkeys(("push turbo", "push sftp"), "not enough disk space on the machine"),
            **dict.fromkeys((*_JOBS, "timer"), "No space left on device"),
        },
    ),
    OddMachine(
        name="home fills up",
        summary="the home folder becomes full while a job runs",
        disk_bytes=24_000_000,
        full=Full.DURING,
        doctor_finds="disk-full",
    ),
    OddMachine(
        name="home full at once",
        summary="the home folder is full before the machine is adopted",
        disk_bytes=8_000_000,
        full=Full.ALWAYS,
        limits={ADOPT: "Is its disk full"},
    ),
    OddMachine(
        name="home read-only",
        summary="the home folder is mounted read-only",
        bwrap=("--ro-bind", "@home@", "/home/mist"),
        limits={ADOPT: "Read-only file system"},
    ),
    OddMachine(
        name="home not writable",
        summary="the user may not write to the home folder itself, since the machine was adopted",
        home_mode=0o555,
        limits=dict.fromkeys(("push turbo", "push sftp", *_JOBS, "timer"), "ermission denied"),
        doctor_finds="disk-unwritable",
    ),
    OddMachine(
        name="home missing",
        summary="the home folder of /etc/passwd is not there, and cannot be made",
        passwd_home="/usr/share/gone",
        limits={ADOPT: "/usr/share/gone"},
    ),
    OddMachine(
        name="home is a link",
        summary="the home folder of /etc/passwd is a symbolic link",
        bwrap=("--symlink", "mist", "/home/link"),
        passwd_home="/home/link",
    ),
    OddMachine(
        name="home with a space",
        summary="the name of the home folder has a space and a quote",
        bwrap=("--symlink", "mist", "/home/it's mine"),
        passwd_home="/home/it's mine",
    ),
    OddMachine(
        name="home noexec",
        summary="programs in the home folder cannot be run",
        mounts="mkdir @run@/noexec; mount --bind @home@ @run@/noexec; mount -o remount,bind,noexec @run@/noexec",
        bwrap=("--bind", "@run@/noexec", "/home/mist"),
        needs=("unshare",),
    ),
    OddMachine(
        name="/tmp noexec",
        summary="programs in /tmp cannot be run",
        mounts="mkdir @run@/noexec; mount -t tmpfs -o noexec,mode=1777 tmpfs @run@/noexec",
        bwrap=("--bind", "@run@/noexec", "/tmp"),
        needs=("unshare",),
    ),
    OddMachine(
        name="/tmp read-only",
        summary="nobody may write to /tmp, where tmux keeps its socket",
        bwrap=("--perms", "0555", "--tmpfs", "/tmp"),
        limits={"start tmux": "/tmp"},
    ),
    OddMachine(
        name="/dev/shm tiny",
        summary="`/dev/shm` has 64 KiB, as in Docker's default it has 64 MiB",
        bwrap=("--size", "65536", "--perms", "1777", "--tmpfs", "/dev/shm"),
    ),
)
