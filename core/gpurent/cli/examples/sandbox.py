"""Examples of the commands for the sandbox."""

from __future__ import annotations

from gpurent.locale import N_

SANDBOX_EXAMPLES = {
    "demo": (
        ("", "demo"),
        (N_("At one provider, with a project of your own"), "demo -p PROVIDER --example my-project --keep"),
    ),
    "sandbox": (
        (N_("Start it, and use it in this shell"), "sandbox up"),
        ("", 'sandbox env  # eval "$(gpurent sandbox env)"'),
        ("", "sandbox login PROVIDER"),
        ("", "sandbox down"),
    ),
    "sandbox up": (
        ("", "sandbox up"),
        (N_("A day in 2.4 minutes"), "sandbox up --speed 600 --machines 8"),
    ),
    "sandbox status": (("", "sandbox status"),),
    "sandbox env": ((N_("In the shell that is to use it"), 'sandbox env  # eval "$(gpurent sandbox env)"'),),
    "sandbox login": (("", "sandbox login PROVIDER"), ("", "sandbox login PROVIDER --account lab")),
    "sandbox advance": ((N_("By an hour"), "sandbox advance 3600"),),
    "sandbox clock": (
        (N_("This computer's clock is four minutes fast"), "sandbox clock --client +4m"),
        (N_("Twelve minutes slow"), "sandbox clock --client -12m"),
        ("", "sandbox clock --reset"),
    ),
    "sandbox cut": (("", "sandbox cut"),),
    "sandbox rent": (("", "sandbox rent PROVIDER"),),
    "sandbox end": (("", "sandbox end PROVIDER i-12345"),),
    "sandbox down": (("", "sandbox down"),),
    "sandbox calls": (("", "sandbox calls --last 50"),),
    "sandbox mail": (
        (N_("The sender of later e-mails is not proven"), "sandbox mail --check fail"),
        ("", "sandbox mail --check pass"),
    ),
    "sandbox fault": (
        ("", "sandbox fault add PROVIDER --status 503 --times 2"),
        ("", "sandbox fault list"),
        ("", "sandbox fault clear"),
    ),
    "sandbox fault add": (
        (N_("It is down"), "sandbox fault add PROVIDER --status 503"),
        (
            N_("The second order takes effect, but its answer is lost"),
            'sandbox fault add PROVIDER --path "/create/*" --nth 2 --lose --after',
        ),
        (N_("Other amounts"), 'sandbox fault add PROVIDER --replace "¥[0-9.]+" "¥1,234.50"'),
        (N_("A maintenance page, five times"), "sandbox fault add PROVIDER --html --times 5"),
        (N_("The third call hangs after its effect"), "sandbox fault add PROVIDER --hold --after --nth 3"),
        (
            N_("The mailbox refuses"),
            'sandbox fault add mail --method LOGIN --body "too many attempts"',
        ),
    ),
    "sandbox fault list": (("", "sandbox fault list"),),
    "sandbox fault wait": (("", "sandbox fault wait 1 --timeout 30"),),
    "sandbox fault clear": (("", "sandbox fault clear"), ("", "sandbox fault clear 1")),
    "sandbox machine": (("", "sandbox machine list"), ("", "sandbox machine freeze 40123")),
    "sandbox machine list": (("", "sandbox machine list"),),
    "sandbox machine refuse": (
        ("", "sandbox machine refuse 40123"),
        ("", "sandbox machine refuse 40123 --off"),
    ),
    "sandbox machine freeze": (
        ("", "sandbox machine freeze 40123"),
        ("", "sandbox machine freeze 40123 --off"),
    ),
    "sandbox machine kill": (("", "sandbox machine kill 40123"),),
    "sandbox machine fill": (("", "sandbox machine fill 40123"), ("", "sandbox machine fill 40123 --off")),
    "sandbox machine rekey": (("", "sandbox machine rekey 40123"),),
    "sandbox machine hide": (
        ("", "sandbox machine hide 40123 python3"),
        ("", "sandbox machine hide 40123 python3 --off"),
    ),
}
