"""How the guard starts automatically on this system, for the command line."""

from gpurent.infra.platform.posix.autostart import (
    LAUNCHD_LABEL as LAUNCHD_LABEL,
    SYSTEMD_UNIT as SYSTEMD_UNIT,
    AutostartProgram as AutostartProgram,
    make_cron_line as make_cron_line,
    make_launchd_agent as make_launchd_agent,
    make_systemd_service as make_systemd_service,
    make_systemd_timer as make_systemd_timer,
    replace_cron_line as replace_cron_line,
    select_environment as select_environment,
    unit_folder as unit_folder,
)
