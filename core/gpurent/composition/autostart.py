"""What makes the guard start by itself on this system, for the command line."""

from gpurent.infra.platform.posix.autostart import (
    LABEL as LABEL,
    UNIT as UNIT,
    Start as Start,
    cron as cron,
    folder as folder,
    kept as kept,
    launchd as launchd,
    systemd as systemd,
    systemd_timer as systemd_timer,
    with_line as with_line,
)
