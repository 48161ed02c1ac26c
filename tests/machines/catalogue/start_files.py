"""Machines whose start files do what they should leave to terminals: print, move, read, end."""

from __future__ import annotations

from tests.machines.machine import ADOPT, OddMachine

_PRINTS = "echo Welcome to gpu28, a fine machine!\n"

START_FILES = (
    OddMachine(
        name="prints",
        summary="`.bashrc` prints lines, on both outputs",
        home_files={".bashrc": f"{_PRINTS}echo\necho careful >&2\n"},
    ),
    OddMachine(
        name="prints raw",
        summary="`.bashrc` prints escape sequences, bytes that are no text, and no line end",
        home_files={".bashrc": r"printf '\033[2J\033[31m\033]0;title\007\377\376\000no end'" + "\n"},
    ),
    OddMachine(
        name="prints at exit",
        summary="`.bashrc` sets a trap that prints when the shell ends",
        home_files={".bashrc": "trap 'echo Good bye!' EXIT\n"},
    ),
    OddMachine(
        name="cd",
        summary="`.bashrc` changes to another folder",
        home_files={".bashrc": "cd /data\n"},
    ),
    OddMachine(
        name="cd function",
        summary="`.bashrc` replaces `cd` by a function that lists the folder",
        home_files={".bashrc": 'cd() { builtin cd "$@" && ls -a; }\nexport -f cd\n'},
    ),
    OddMachine(
        name="set -eu",
        summary="`.bashrc` says `set -eu`",
        home_files={".bashrc": "set -eu\n"},
    ),
    OddMachine(
        name="set -x",
        summary="`.bashrc` says `set -x`",
        home_files={".bashrc": "set -x\n"},
    ),
    OddMachine(
        name="read",
        summary="`.bashrc` reads a line from standard input",
        home_files={".bashrc": "read -r answer\n"},
    ),
    OddMachine(
        name="HOME moved",
        summary="`.bashrc` sets HOME to a folder on another disk",
        home_files={".bashrc": "export HOME=/data/moved\n"},
        data_files={"moved/.keep": ""},
    ),
    OddMachine(
        name="background",
        summary="`.bashrc` starts a process that stays and keeps standard output open",
        home_files={".bashrc": "sleep 97 &\n"},
    ),
    OddMachine(
        name="exec zsh",
        summary="`.bashrc` is replaced by zsh, which never runs the command",
        home_files={".bashrc": "exec zsh\n"},
        needs=("zsh",),
        limits={ADOPT: "ended before it ran a command"},
    ),
    OddMachine(
        name="exec fish -c",
        summary="`.bashrc` is replaced by fish, which is given the command",
        home_files={".bashrc": '[ -z "$BASH_EXECUTION_STRING" ] || exec fish -c "$BASH_EXECUTION_STRING"\n'},
        needs=("fish",),
    ),
    OddMachine(
        name="exit",
        summary="`.bashrc` ends every shell that has no prompt",
        home_files={".bashrc": '[ -n "$PS1" ] || exit 0\n'},
        limits={ADOPT: "ended before it ran a command"},
    ),
    OddMachine(
        name="PATH lost",
        summary="`.bashrc` sets a PATH without the system's folders",
        home_files={".bashrc": "PATH=/opt/conda/bin\n"},
    ),
    OddMachine(
        name="slow start file",
        summary="`.bashrc` takes two seconds",
        home_files={".bashrc": "sleep 2\n"},
        is_slow=True,
    ),
    OddMachine(
        name="tmux in terminals",
        summary="`.bashrc` starts tmux wherever there is a terminal",
        home_files={".bashrc": '[ -t 1 ] && [ -z "$TMUX" ] && exec tmux new-session\n'},
        limits={"attach": "ended before it ran a command"},
    ),
    OddMachine(
        name="zsh prints",
        summary="zsh; `.zshenv` prints and changes to another folder",
        shell_program="zsh",
        home_files={".zshenv": f"{_PRINTS}cd /data\n"},
        needs=("zsh",),
    ),
    OddMachine(
        name="fish prints",
        summary="fish; `config.fish` prints and changes to another folder",
        shell_program="fish",
        home_files={".config/fish/config.fish": f"{_PRINTS}cd /data\n"},
        needs=("fish",),
    ),
    OddMachine(
        name="csh prints",
        summary="csh; `.cshrc` prints and changes to another folder",
        shell_program="tcsh",
        shell_name="csh",
        home_files={".cshrc": "echo Welcome to gpu28\ncd /data\n"},
        needs=("tcsh",),
    ),
    OddMachine(
        name="ssh rc prints",
        summary="`~/.ssh/rc` prints before every command",
        home_files={".ssh/rc": _PRINTS},
    ),
)
