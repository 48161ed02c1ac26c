"""Examples of the commands for configuration and plugins, and of those about gpurent itself."""

from __future__ import annotations

from gpurent.locale import N_

TOOL_EXAMPLES = {
    "status": (
        (N_("Everything that matters, on one page"), "status"),
        (N_("For a script"), "status --json"),
    ),
    "config": (
        (N_("Where is it, and what can be set?"), "config path"),
        ("", "config list"),
        (N_("No more than this a month"), "config set budget.month 500CNY"),
    ),
    "config list": (
        (N_("What is set, and where it was set"), "config list"),
        (N_("Everything that can be set"), "config list --all"),
    ),
    "config get": (("", "config get budget.month"),),
    "config set": (
        (N_("For all providers together; for one"), "config set budget.month 500CNY"),
        ("", "config set budget.PROVIDER.month 200CNY"),
        (N_("Where codes and SSH commands are mailed to"), "config set mail.address me@example.com"),
        (N_("Back to its default"), "config set budget.month --unset"),
    ),
    "config path": (("", "config path"),),
    "config edit": ((N_("With the editor in VISUAL or EDITOR"), "config edit"),),
    "notify": (("", "notify test"),),
    "notify test": (("", "notify test"),),
    "plugin": (("", "plugin list"), ("", "plugin check PROVIDER")),
    "plugin list": (("", "plugin list"), (N_("With the settings of each"), "plugin list --json")),
    "plugin check": (
        (N_("Without asking anybody outside this computer"), "plugin check PROVIDER"),
        (N_("Without the contracts, which take longest"), "plugin check PROVIDER --quick"),
    ),
    "plugin new": ((N_("A provider, in a folder of its own"), "plugin new acme --kind provider"),),
    "completion": (
        (N_("In ~/.bashrc"), 'completion bash  # eval "$(gpurent completion bash)"'),
        ("", "completion zsh"),
    ),
    "backup": (
        (N_("All that must not be lost, encrypted"), "backup gpurent.backup"),
        (N_("In place of an older one"), "backup gpurent.backup --replace"),
    ),
    "restore": ((N_("On a new computer, or after a damaged disk"), "restore gpurent.backup"),),
    "vault": (("", "vault show"), ("", "vault put WANDB_API_KEY")),
    "vault put": (
        (N_("You are asked for it; then a job can have it"), "vault put WANDB_API_KEY"),
        ("", "run --secret WANDB_API_KEY -- python train.py"),
    ),
    "vault list": (("", "vault list"),),
    "vault delete": (("", "vault delete WANDB_API_KEY"),),
    "vault show": (("", "vault show"),),
    "vault accept": (
        (N_("After you restored a backup"), "vault accept"),
        (N_("In a script"), "vault accept --sha256 none"),
    ),
    "report": (
        (N_("See what would be in it, then write it"), "report"),
        (N_("Into a certain file, without being asked"), "-y report --output report.txt"),
    ),
    "version": (("", "version"), (N_("With Python, the system and the plugins"), "version --all")),
    "help": ((N_("The same as: gpurent run --help"), "help run"), ("", "help trips show")),
}
