"""The user's browser, for the command line."""

from gpurent.infra.platform.system import (
    open_in_browser as open_in_browser,
    open_privately as open_privately,
)
