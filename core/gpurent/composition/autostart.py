"""How the guard starts automatically on this system, for the command line."""

import sys

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
from gpurent.infra.platform.windows.autostart import (
    TASK_NAME as TASK_NAME,
    make_task as make_task,
)


def get_task_user() -> str:
    """Return the SID of the user for whom the task runs; one to look at, where there is no Windows."""
    if sys.platform == "win32":
        from gpurent.infra.platform.windows import api

        return api.get_user_sid()
    else:  # noqa: RET505 - the type checker reads one of them for each system
        return "S-1-5-21-0-0-0-1000"
