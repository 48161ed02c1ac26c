"""The user's terminal, for the command line."""

from gpurent.infra.platform.terminal import (
    STOP_SIGNALS as STOP_SIGNALS,
    handle_stop_signals as handle_stop_signals,
    hide_input as hide_input,
    read_input as read_input,
)
