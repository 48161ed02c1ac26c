"""Examples of the commands for leases, volumes, files, sessions and other programs."""

from __future__ import annotations

from gpurent.locale import N_

MACHINE_EXAMPLES = {
    "rent": (
        (N_("The cheapest machine that fits, for a day"), "rent --gpu 4090 --for 1d"),
        (N_("Without being asked, within a budget"), "rent -p PROVIDER --budget 50CNY"),
    ),
    "wait": (
        (
            N_("Rent one as soon as it is free, for at most 3 CNY an hour"),
            "wait --gpu 4090 --max-price 3CNY/h --budget 30CNY --timeout 12h",
        ),
    ),
    "ls": (
        (N_("What each lease costs, and what ends it first"), "ls"),
        (N_("Ask the providers now"), "ls --refresh"),
        (N_("With SSH commands, exact amounts and notes, also of ended ones"), "ls --all --wide"),
    ),
    "show": (
        (N_("The beginning of an id is enough"), "show LEASE"),
        (N_("Examine its machine again"), "show LEASE --probe"),
    ),
    "renew": (("", "renew LEASE --for 1d"),),
    "upgrade": (
        (N_("To the GPU that it was staged for"), "upgrade LEASE"),
        (N_("For two hours"), "upgrade LEASE --gpu 4090 --for 2h"),
    ),
    "downgrade": (("", "downgrade LEASE --for 1d"),),
    "shutdown": (("", "shutdown LEASE"),),
    "restart": (
        ("", "restart LEASE"),
        (N_("Without its GPU, to upload files"), "restart LEASE --cpu --for 1d"),
    ),
    "bid": (("", "bid LEASE 0.3USD/h"),),
    "release": (
        ("", "release LEASE"),
        (N_("One that you ended yourself on the provider's page"), "release LEASE --confirmed"),
    ),
    "volume": (
        (N_("Your volumes"), "volume list"),
        (N_("A new one"), "volume create data -p PROVIDER --size 100"),
    ),
    "volume create": (
        (N_("Where can it be?"), "volume create data -p PROVIDER --size 100"),
        ("", "volume create data -p PROVIDER --size 100 --region EU-1"),
    ),
    "volume list": (("", "volume list --all"),),
    "volume delete": (("", "volume delete data"),),
    "volume adopt": (("", "volume adopt vol-12345 -p PROVIDER --name data"),),
    "adopt": (
        (
            N_("Be asked for its password"),
            "adopt 'ssh root@192.0.2.7 -p 2222' -p PROVIDER --price 3.5CNY/h",
        ),
        (
            N_("With a key, and with its end"),
            "adopt 'ssh root@192.0.2.7' -p PROVIDER --key key.pem --until 18:30",
        ),
    ),
    "declare": (
        (N_("After a top-up"), "declare LEASE --balance 40CNY"),
        (N_("The provider ends it at another time"), "declare LEASE --until 2h30m"),
    ),
    "orphans": (
        (N_("What costs money and is not known here?"), "orphans"),
        (N_("Make a lease of it, or end it"), "orphans --adopt i-12345 -p PROVIDER"),
        ("", "orphans --release i-12345 -p PROVIDER"),
    ),
    "doctor": (
        ("", "doctor LEASE"),
        (N_("With the Python that the job will use"), "doctor LEASE --python /opt/conda/bin/python"),
    ),
    "timer": (
        (N_("When does it shut itself down?"), "timer LEASE"),
        (N_("In two and a half hours; half an hour later"), "timer LEASE --for 2h30m"),
        ("", "timer LEASE --extend 30m"),
    ),
    "top": (
        (N_("Live, until q"), "top"),
        (N_("Once, for a script"), "top --once --json"),
    ),
    "watch": (
        (N_("Once"), "watch --once"),
        (N_("Continuously, started by this system"), "watch install"),
    ),
    "watch install": (
        ("", "watch install"),
        (N_("Only show what would be written"), "watch install --as cron --print"),
    ),
    "watch uninstall": (("", "watch uninstall"),),
    "connect": (
        ("", "connect LEASE"),
        (
            N_("In a script"),
            "connect LEASE \\\n    --fingerprint SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        ),
    ),
    "push": (
        (N_("This folder, below the home folder of the machine"), "push LEASE . --to project"),
        (N_("Make the folder there equal to the one here"), "push LEASE src --to project --delete"),
        (N_("Upload each change until Ctrl-C"), "push LEASE . --to project --watch"),
    ),
    "pull": (
        (N_("A folder of the machine, to this one"), "pull LEASE project/out"),
        (N_("With at most 2 MB/s"), "pull LEASE project/out --to results --limit 2MB/s"),
    ),
    "ssh": (("", "ssh LEASE"),),
    "exec": (
        ("", "exec LEASE -- nvidia-smi"),
        (N_("A shell line, in quotation marks"), "exec LEASE -- 'ls project | wc -l'"),
    ),
    "start": (
        (N_("A job that stays when you leave"), "start LEASE --name train --in project -- python3 train.py"),
        (N_("Shut the machine down six hours later"), "start LEASE --for 6h -- python3 train.py"),
    ),
    "sessions": (("", "sessions LEASE"),),
    "attach": (
        (N_("The only session; a certain one"), "attach LEASE"),
        ("", "attach LEASE train"),
    ),
    "logs": (
        (N_("Of a trip, also after its end"), "logs TRIP"),
        (N_("The last 20 lines, and what comes"), "logs LEASE -n 20 --follow"),
        (N_("Only leave with the job's exit code"), "logs LEASE train --status"),
    ),
    "stop": (("", "stop LEASE train"),),
    "export": (
        (N_("For `ssh` and all that use its configuration"), "export openssh LEASE --install"),
        (N_("Remove it again"), "export openssh LEASE --uninstall"),
    ),
    "open": (
        (N_("The provider's page"), "open LEASE"),
        (N_("Only print the address"), "open LEASE --print"),
    ),
    "forward": (
        (N_("TensorBoard, here at http://127.0.0.1:6006"), "forward LEASE 6006"),
        (N_("At another port here"), "forward LEASE 9000:8888"),
    ),
    "jupyter": (
        ("", "jupyter LEASE"),
        (N_("Install it first if it is missing; stop it later"), "jupyter LEASE --install"),
        ("", "jupyter LEASE --stop"),
    ),
}
