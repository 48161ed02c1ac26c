"""The plugin's entries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from gpurent.api import (
    AuthEntry,
    BillingEntry,
    InputField,
    LeaseEntry,
    MachineProfile,
    RetentionEffect,
    RetentionEvent,
    RetentionStep,
    SimulatorEntry,
    build_lazily,
    check_web_url,
    hookimpl,
    integer_between,
    parse_declared_prices,
)
from gpurent_plugin_autodl import _

REQUIRED_API = (1, 0)
NAME = "autodl"
SETTINGS = (
    InputField(name="url", label=_("URL of the API"), default="https://api.autodl.com", check=check_web_url),
    InputField(
        name="billing_page",
        label=_("page on which the balance is topped up; {account} and {amount} are filled in"),
        default="https://www.autodl.com/console/center/finance",
        check=check_web_url,
    ),
    InputField(
        name="prices",
        label=_("what one GPU costs in CNY per hour, by AutoDL's id of its specification"),
        example="v-48g 2.98, pro6000-p 5.98",
        check=parse_declared_prices,
    ),
    # PyTorch 2.0 with CUDA 11.8; a private image has an id of its own.
    InputField(name="image", label=_("id of the image of new machines"), default="base-image-l2t43iu6uk"),
    InputField(
        name="cuda",
        label=_("least CUDA version of a machine's driver, 118 for 11.8"),
        default="118",
        check=integer_between(90, 999),
    ),
)


@hookimpl
def gpurent_register_auth() -> Sequence[AuthEntry]:
    fields = (InputField(name="api_key", label=_("developer token"), secret=True),)
    return [
        AuthEntry(
            name=NAME,
            summary=_("AutoDL account, by developer token"),
            build=build_lazily("gpurent_plugin_autodl.wire", "make_authenticator"),
            settings=SETTINGS,
            fields=fields,
        )
    ]


@hookimpl
def gpurent_register_billing() -> Sequence[BillingEntry]:
    return [
        BillingEntry(
            name=NAME,
            summary=_("AutoDL balance in CNY"),
            build=build_lazily("gpurent_plugin_autodl.billing", "AutodlBilling"),
            settings=SETTINGS,
            currency="CNY",
        )
    ]


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    return [
        LeaseEntry(
            name=NAME,
            summary=_(
                "GPUs of AutoDL, billed by the second from a CNY balance; free of charge while shut down"
            ),
            build=build_lazily("gpurent_plugin_autodl.provider", "AutodlProvider"),
            settings=SETTINGS,
            auth=NAME,
            billing=NAME,
            profile=MachineProfile(
                user="root",
                data_dir="/root/autodl-tmp",
                install_prefix="apt-get install -y",
                files_kept_for=timedelta(days=15),
            ),
            web_hosts=("www.autodl.com",),
            overview={
                "machines": _("many, of seven specifications"),
                "difficulty": _("simple"),
                "price": _("1.5-10 CNY/h and GPU; not told by its API"),
                "upload": _("medium"),
                "cpu_only": _("no"),
                "compatibility": _("its own images"),
                "invoice": _("on its console"),
                "withdrawal": _("on its console"),
            },
            retention=(
                RetentionStep(RetentionEvent.BALANCE_USED_UP, RetentionEffect.STOPPED, note=_("assumed")),
                RetentionStep(RetentionEvent.STOPPED, RetentionEffect.DELETED, timedelta(days=15)),
            ),
            live_notes=_(
                "Never run against the live service. Its API is known from its documentation and from what public"
                " clients report, of 2026."
            ),
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [
        SimulatorEntry(
            name=NAME,
            summary=_("simulator of AutoDL's developer API, from its documentation"),
            build=build_lazily("gpurent_plugin_autodl.simulator.service", "AutodlSimulator"),
        )
    ]
