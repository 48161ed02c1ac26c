"""Examples of the commands for whole trips, project files, providers and offers."""

from __future__ import annotations

from gpurent.locale import N_

TRIP_EXAMPLES = {
    "": (
        (N_("Try it, with no account and no real money"), "demo"),
        (N_("What can be rented now"), "offers --gpu 4090"),
        (N_("A job, from login to receipt"), "run --gpu 4090 --results out -- python3 train.py"),
        (N_("What costs money now"), "status"),
    ),
    "run": (
        (
            N_("Run train.py on the cheapest machine that fits; its results come to ./out"),
            "run --gpu 4090 --results out -- python3 train.py",
        ),
        (
            N_("Limit what it may cost, and how long it may take"),
            "run -p PROVIDER --budget 20CNY --deadline 6h -- python3 train.py",
        ),
        (N_("On a machine that you rent already"), "run --lease LEASE -- python3 train.py"),
        (N_("With everything in gpurent.toml"), "run"),
    ),
    "plan": (
        (
            N_("What would it do and cost? Nothing is ordered"),
            "plan --gpu 4090 --for 3h -- python3 train.py",
        ),
        (N_("The trip of this folder's gpurent.toml"), "plan"),
    ),
    "trips": (
        (N_("All trips, finished and in progress"), "trips"),
        (N_("One trip, with its steps, orders and payments"), "trips show TRIP"),
    ),
    "trips show": ((N_("The beginning of an id is enough"), "trips show TRIP"),),
    "trips cancel": ((N_("Stop its job, download the results, release its machine"), "trips cancel TRIP"),),
    "resume": (
        (N_("The only open trip"), "resume"),
        (N_("A certain one, with other results than it was started with"), "resume TRIP --results out"),
        (N_("All of them, each until its end"), "resume --all"),
    ),
    "init": (
        (N_("Ask for everything"), "init"),
        (
            N_("Ask nothing"),
            "init -y -p PROVIDER --gpu 4090 --results out -- python3 train.py",
        ),
    ),
    "schema": ((N_("For an editor that checks TOML"), "schema > gpurent.schema.json"),),
    "trust": (
        (N_("Show what gpurent.toml here decides, and trust it"), "trust"),
        (N_("The files that you trust"), "trust --list"),
    ),
    "providers": (
        (N_("All, one line for each"), "providers"),
        (N_("One, in full"), "providers PROVIDER"),
    ),
    "offers": (
        (N_("The cheapest for three hours, of all providers"), "offers --gpu 4090 --for 3h"),
        (N_("Two GPUs with at least 40 GiB each, in US dollars"), "offers --gpus 2 --gpu-memory 40 --in USD"),
        (N_("With every column"), "offers -p PROVIDER --wide"),
    ),
}
