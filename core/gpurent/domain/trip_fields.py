"""The fields of a trip: the one table behind options, `gpurent.toml`, its schema, the docs, JSON and completion.

A field has one ``name`` everywhere: the key ``results_dir`` of the file is the option ``--results-dir``.
"""

from __future__ import annotations

from gpurent.domain.events import EventKind
from gpurent.domain.field_kinds import FieldGroup, FieldKind, Tighter, TripField
from gpurent.domain.machine_fields import MACHINE_FIELDS
from gpurent.domain.trip import OnError
from gpurent.locale import N_

PROJECT_FILE = "gpurent.toml"


# All events except those that are too frequent for a notification, or only meant for the terminal.
_E = EventKind
_NOT_NOTIFIABLE = (_E.PROGRESS, _E.JOB_OUTPUT, _E.STEP_STARTED, _E.STEP_DONE, _E.PRICE)
NOTIFIABLE_EVENTS = tuple(kind.value for kind in EventKind if kind not in _NOT_NOTIFIABLE)


_K, _G, _T = FieldKind, FieldGroup, Tighter
TRIP_FIELDS: tuple[TripField, ...] = (
    *MACHINE_FIELDS,
    TripField("for", _K.DURATION, _G.LIMITS, "limits.term", '"1d"', N_("How long to rent: 1d, 2h30m")),
    TripField(
        "budget",
        _K.MONEY,
        _G.LIMITS,
        "limits.budget",
        '"200CNY"',
        N_("Maximum cost: 200CNY, 200000DBC"),
        tighter=_T.LESS,
    ),
    TripField(
        "deadline",
        _K.TIME,
        _G.LIMITS,
        "limits.deadline",
        '"20h"',
        N_("Release the machine no later than this: 20h (from now), 18:30"),
        tighter=_T.EARLIER,
    ),
    TripField(
        "idle",
        _K.DURATION,
        _G.LIMITS,
        "limits.idle",
        '"1h"',
        N_("Release the machine after it has been idle for this long"),
        tighter=_T.LESS,
    ),
    TripField(
        "idle_load",
        _K.PERCENT,
        _G.LIMITS,
        "limits.idle_load",
        "5",
        N_("GPU load up to which the machine counts as idle, in percent"),
        tighter=_T.MORE,
    ),
    TripField(
        "timer",
        _K.DURATION,
        _G.LIMITS,
        "limits.timer",
        '"4h"',
        N_("Shut the machine down, from inside, when gpurent has not been in contact with it for this long"),
        tighter=_T.LESS,
    ),
    TripField(
        "after_job",
        _K.DURATION,
        _G.LIMITS,
        "limits.after_job",
        '"30m"',
        N_(
            "Shut the machine down, from inside, this long after the job has ended; kept files may still cost"
        ),
        tighter=_T.LESS,
    ),
    TripField(
        "save_before",
        _K.DURATION,
        _G.LIMITS,
        "limits.save_before",
        '"20m"',
        N_("Download the results this long before the lease ends"),
        tighter=_T.MORE,
    ),
    TripField(
        "keep",
        _K.FLAG,
        _G.LIMITS,
        "limits.keep",
        "false",
        N_("Keep the machine when the job has ended; if the trip fails, on_error (--on-error) decides"),
    ),
    TripField(
        "on_error",
        _K.TEXT,
        _G.LIMITS,
        "limits.on_error",
        '"release"',
        N_("What to do with the machine when the trip fails"),
        choices=tuple(item.value for item in OnError),
    ),
    TripField(
        "results_grace",
        _K.DURATION,
        _G.LIMITS,
        "limits.results_grace",
        '"6h"',
        N_("How long to keep the machine at most if results could not be downloaded (default: 2h)"),
    ),
    TripField(
        "ready_within",
        _K.DURATION,
        _G.LIMITS,
        "limits.ready_within",
        '"5m"',
        N_("Return a new machine that does not answer within this time, and take another one"),
    ),
    TripField(
        "recover",
        _K.NUMBER,
        _G.LIMITS,
        "limits.recover",
        "2",
        N_("If the provider ends the machine, run the job again on another one, at most this often"),
    ),
    TripField(
        "folder",
        _K.PATH,
        _G.UPLOAD,
        "upload.folder",
        '"."',
        N_("Folder to upload (default: the current one); with --folder, include in gpurent.toml is not used"),
        relative_to_upload=False,
    ),
    TripField(
        "include",
        _K.PATH_LIST,
        _G.UPLOAD,
        "upload.include",
        '["train.py", "data"]',
        N_("Only upload these files or folders"),
    ),
    TripField(
        "transfer",
        _K.TEXT,
        _G.UPLOAD,
        "upload.transfer",
        '"NAME"',
        N_("Transfer backend; auto: the best that the machine supports"),
        plugin_kind="transfer",
    ),
    TripField(
        "staged",
        _K.FLAG,
        _G.UPLOAD,
        "upload.staged",
        "true",
        N_("Upload to a cheaper machine first, if there is one"),
    ),
    TripField(
        "conda",
        _K.PATH,
        _G.SETUP,
        "job.setup.conda",
        '"environment.yml"',
        N_("Conda environment file; the job runs in that environment"),
    ),
    TripField(
        "pip",
        _K.PACKAGES,
        _G.SETUP,
        "job.setup.pip",
        '"requirements.txt"',
        N_("A requirements file, or a package"),
    ),
    TripField(
        "setup",
        _K.TEXT_LIST,
        _G.SETUP,
        "job.setup.commands",
        '["make -C native"]',
        N_("Shell command to run before the job, in the uploaded folder"),
    ),
    TripField(
        "setup_needs",
        _K.PATH_LIST,
        _G.SETUP,
        "job.setup.needs",
        '["native"]',
        N_("Files that the setup needs; setup starts as soon as these are uploaded"),
    ),
    TripField(
        "command",
        _K.COMMAND,
        _G.JOB,
        "job.command",
        '["python3", "train.py", "--epochs", "20"]',
        N_("The job: a shell command, or a list of arguments"),
    ),
    TripField(
        "env",
        _K.VARIABLE_LIST,
        _G.JOB,
        "job.env",
        '["SEED=1", "HF_HOME=/data/hf"]',
        N_("Variable for the job, NAME=VALUE"),
    ),
    TripField(
        "env_file",
        _K.FILE,
        _G.JOB,
        "job.env_file",
        '".env"',
        N_("File with variables for the job; it is not uploaded, and read again when the job starts"),
        relative_to_upload=False,
    ),
    TripField(
        "secret",
        _K.SECRET_LIST,
        _G.JOB,
        "job.secrets",
        '["WANDB_API_KEY"]',
        N_("Secret of the vault (gpurent vault put NAME) that the job gets as a variable"),
    ),
    TripField("name", _K.TEXT, _G.JOB, "job.name", '"digits"', N_("Name of the job and of its session")),
    TripField(
        "session",
        _K.TEXT,
        _G.JOB,
        "job.session",
        '"NAME"',
        N_("Session backend: screen, tmux, …"),
        plugin_kind="session",
    ),
    TripField(
        "launcher",
        _K.TEXT,
        _G.JOB,
        "job.launcher",
        '"plain"',
        N_("Launcher, e.g. torchrun, that starts the processes of the command"),
        plugin_kind="launcher",
    ),
    TripField(
        "results",
        _K.PATTERN_LIST,
        _G.RESULTS,
        "results.paths",
        '["out", "logs/*.txt"]',
        N_("Result file, folder or pattern to download"),
    ),
    TripField(
        "auto_results",
        _K.SIZE,
        _G.RESULTS,
        "results.auto_limit",
        '"5GiB"',
        N_("Without results: download what the job made, up to this size in all (default: 1GiB)"),
    ),
    TripField("no_results", _K.FLAG, _G.RESULTS, "results.unwanted", "true", N_("Download no results")),
    TripField(
        "results_dir",
        _K.PATH,
        _G.RESULTS,
        "results.dir",
        '"results"',
        N_("Where to download results (default: the uploaded folder)"),
        relative_to_upload=False,
    ),
    TripField(
        "results_every",
        _K.DURATION,
        _G.RESULTS,
        "results.every",
        '"10m"',
        N_("Download results at this interval while the job runs: 10m"),
    ),
    TripField(
        "checkpoints",
        _K.PATTERN_LIST,
        _G.RESULTS,
        "results.checkpoints",
        '["checkpoints/*.pt"]',
        N_("File or pattern to download with results_every, to go on from after recovery"),
    ),
    TripField(
        "notify",
        _K.TEXT_LIST,
        _G.NOTIFICATIONS,
        "notify",
        '["job-ended", "failed", "time-low"]',
        N_("Events to be notified of, instead of those in the settings"),
        choices=NOTIFIABLE_EVENTS,
        tighter=_T.ADDED,
    ),
)
FIELDS_BY_NAME = {field.name: field for field in TRIP_FIELDS}
