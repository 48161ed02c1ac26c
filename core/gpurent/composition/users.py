"""The users of this computer, for the command line."""

from gpurent.infra.platform.system import (
    find_user_name as find_user_name,
    get_user_number as get_user_number,
)
