"""The plugin's entries. Every command of gpurent loads this file: what is heavy waits for `build`."""

from collections.abc import Sequence

from gpurent.api import (
    AuthEntry,
    BillingEntry,
    InputField,
    LeaseEntry,
    MachineProfile,
    SimulatorEntry,
    build_lazily,
    check_web_url,
    hookimpl,
)

from gpurent_plugin_tern import _

REQUIRED_API = (1, 0)
NAME = "tern"
SETTINGS = (
    InputField(
        name="url", label=_("URL of the API"), default="https://api.tern.example/v1", check=check_web_url
    ),
    InputField(
        name="billing_page",
        label=_("page on which credit is added"),
        default="https://tern.example/billing",
        check=check_web_url,
    ),
)


@hookimpl
def gpurent_register_auth() -> Sequence[AuthEntry]:
    return [
        AuthEntry(
            name=NAME,
            summary=_("account, by API token"),
            build=build_lazily("gpurent_plugin_tern.account", "make_authenticator"),
            settings=SETTINGS,
            fields=(InputField(name="api_key", label=_("API token"), secret=True),),
        )
    ]


@hookimpl
def gpurent_register_billing() -> Sequence[BillingEntry]:
    return [
        BillingEntry(
            name=NAME,
            summary=_("prepaid balance in USD"),
            build=build_lazily("gpurent_plugin_tern.account", "TernBilling"),
            settings=SETTINGS,
            currency="USD",
        )
    ]


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    return [
        LeaseEntry(
            name=NAME,
            summary=_("GPUs by the minute, from a prepaid balance"),
            build=build_lazily("gpurent_plugin_tern.provider", "TernProvider"),
            settings=SETTINGS,
            auth=NAME,
            billing=NAME,
            profile=MachineProfile(user="ubuntu", install_prefix="sudo apt-get install -y"),
            key_only=True,
            web_hosts=("tern.example",),
            overview={
                "machines": _("virtual machines"),
                "difficulty": _("simple"),
                "price": _("by the minute"),
                "upload": _("not known"),
                "cpu_only": _("no"),
                "compatibility": _("not known"),
                "invoice": _("none"),
                "withdrawal": _("none"),
            },
            live_notes=_("Never run against a live service: Tern Cloud is imaginary."),
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [
        SimulatorEntry(
            name=NAME,
            summary=_("simulator of Tern Cloud"),
            build=build_lazily("gpurent_plugin_tern.simulator.service", "TernSimulator"),
        )
    ]
