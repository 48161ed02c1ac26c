"""The fields of a trip that say which machine is wanted; a part of the table in `gpurent.domain.trip_fields`."""

from __future__ import annotations

from gpurent.domain.field_kinds import FieldGroup, FieldKind, Tighter, TripField
from gpurent.locale import N_

DOCTOR_MODES = ("off", "warn", "require")
_K, _G, _T = FieldKind, FieldGroup, Tighter
MACHINE_FIELDS: tuple[TripField, ...] = (
    TripField(
        "provider",
        _K.TEXT_LIST,
        _G.MACHINE,
        "providers",
        '["first", "second"]',
        N_("Provider to rent from: of several, the first that has one; of none, the cheapest"),
        plugin_kind="lease",
    ),
    TripField(
        "gpu",
        _K.TEXT,
        _G.MACHINE,
        "requirements.gpu",
        '"2080Ti"',
        N_("GPU model, in any spelling: 2080Ti, RTX 4090"),
    ),
    TripField(
        "gpus", _K.NUMBER, _G.MACHINE, "requirements.gpus", "1", N_("Number of GPUs (exactly)"), minimum=1
    ),
    TripField(
        "gpu_memory",
        _K.NUMBER,
        _G.MACHINE,
        "requirements.gpu_memory",
        "11",
        N_("Minimum memory of each GPU, in GiB"),
    ),
    TripField("cpus", _K.NUMBER, _G.MACHINE, "requirements.cpus", "4", N_("Minimum number of CPU cores")),
    TripField(
        "memory",
        _K.NUMBER,
        _G.MACHINE,
        "requirements.memory",
        "16",
        N_("Minimum memory of the machine, in GiB"),
    ),
    TripField(
        "machine",
        _K.TEXT,
        _G.MACHINE,
        "requirements.machine",
        '"7"',
        N_("Rent exactly this machine, as the provider names it"),
    ),
    TripField("disk", _K.NUMBER, _G.MACHINE, "requirements.disk", "100", N_("Disk size to order, in GiB")),
    TripField(
        "region",
        _K.TEXT_LIST,
        _G.MACHINE,
        "requirements.regions",
        '["SE", "Germany"]',
        N_("Only machines in one of these places, as the provider names them"),
    ),
    TripField(
        "min_reliability",
        _K.EXACT_PERCENT,
        _G.MACHINE,
        "requirements.min_reliability",
        '"99.5%"',
        N_("Minimum reliability of the machine, as the provider measures it, in percent"),
    ),
    TripField(
        "cuda",
        _K.VERSION,
        _G.MACHINE,
        "requirements.cuda",
        '"12.4"',
        N_("Minimum CUDA version that the machine's driver supports"),
    ),
    TripField(
        "max_price",
        _K.PRICE,
        _G.MACHINE,
        "requirements.max_price",
        '"2.5CNY/h"',
        N_("Maximum price of the machine with its disk, in any currency: 2.5CNY/h"),
    ),
    TripField(
        "max_traffic_price",
        _K.TRAFFIC_PRICE,
        _G.MACHINE,
        "requirements.max_traffic_price",
        '"0.01USD/GB"',
        N_("Maximum price of uploading and downloading: 0.01USD/GB, 0USD/GB for free traffic"),
    ),
    TripField(
        "spot",
        _K.FLAG,
        _G.MACHINE,
        "requirements.spot",
        "true",
        N_("Rent a cheaper machine that may be interrupted whenever somebody pays more"),
    ),
    TripField(
        "bid",
        _K.PRICE,
        _G.MACHINE,
        "requirements.bid",
        '"0.25USD/h"',
        N_("With spot: what you pay for the machine, 0.25USD/h (default: the lowest price that is taken)"),
    ),
    TripField(
        "volume",
        _K.TEXT,
        _G.MACHINE,
        "requirements.volume",
        '"data"',
        N_("Your volume that the machine mounts: only machines in its place fit"),
    ),
    TripField(
        "image",
        _K.TEXT,
        _G.MACHINE,
        "requirements.image",
        '"pytorch-2"',
        N_("System image, as the provider names it"),
    ),
    TripField(
        "doctor",
        _K.TEXT,
        _G.MACHINE,
        "doctor",
        '"warn"',
        N_("Examine the machine before the job: off, warn (report), require (release it if a check fails)"),
        choices=DOCTOR_MODES,
        tighter=_T.LAST_CHOICE,
    ),
)
