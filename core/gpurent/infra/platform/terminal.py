"""The user's terminal, on the system that this is."""

import sys

if sys.platform == "win32":
    from gpurent.infra.platform.windows.terminal import (
        STOP_SIGNALS as STOP_SIGNALS,
        USUAL_TERMINAL_TYPE as USUAL_TERMINAL_TYPE,
        TerminalOutput as TerminalOutput,
        handle_stop_signals as handle_stop_signals,
        hide_input as hide_input,
        raw_terminal as raw_terminal,
        read_input as read_input,
        watch_size as watch_size,
    )
else:
    from gpurent.infra.platform.posix.terminal import (
        STOP_SIGNALS as STOP_SIGNALS,
        USUAL_TERMINAL_TYPE as USUAL_TERMINAL_TYPE,
        TerminalOutput as TerminalOutput,
        handle_stop_signals as handle_stop_signals,
        hide_input as hide_input,
        raw_terminal as raw_terminal,
        read_input as read_input,
        watch_size as watch_size,
    )
