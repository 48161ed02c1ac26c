"""What provokes each error about money or a lease, and how things are after its hint was followed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import frozen

from gpurent.errors import (
    ForeignMachine,
    GpurentError,
    LeaseError,
    LeaseGone,
    MoneyError,
    PaidTooLate,
    SoldOut,
)
from tests.cli.hint_checks import (
    check_ended_as_named,
    check_nothing,
    check_refunded,
    check_released,
    check_renewed,
    check_rents,
    check_running,
)
from tests.cli.hint_user import HintUser, ShownError

MISTGPU, PREPAID, CHAIN = "rent -p mistgpu", "rent -p 1024gpu --for 1d", "rent -p dbc-chain --for 1d"
MAINTENANCE = "<html><body>maintenance</body></html>"
RENEWAL_CHECK = "/rent_continue/continue_pay_voc_pay"


@frozen
class Provocation:
    """``hint``: the message, in English, with the command. ``check`` looks after it was typed."""

    error: type[GpurentError]
    hint: str
    provoke: Callable[[HintUser], ShownError]
    check: Callable[[HintUser], None]


def make_refusal(text: str) -> str:
    """An answer of 1024GPU that refuses."""
    return json.dumps({"status": -1, "msg": text, "content": None})


def find_machine(user: HintUser, provider: str) -> str:
    return str(user.read(f"offers -p {provider}")[0]["offers"][0]["key"])


# balances


def have_no_money(user: HintUser) -> ShownError:
    user.log_in_at_mistgpu("")
    return user.fail(MISTGPU, MoneyError)


def have_no_money_after_all(user: HintUser) -> ShownError:
    user.log_in_at_mistgpu("")
    with user.fault("mistgpu", replacements=[(r"0\.00", "50.00")]):
        return user.fail(MISTGPU, MoneyError)


def spend_the_wallet_elsewhere(user: HintUser) -> ShownError:
    user.log_in_at_chain("1024gpu", "dbc", "2")
    with user.fault("dbc", path="/balance", times=1, replacements=[("200000000", "90000000000000")]):
        return user.fail(PREPAID, MoneyError)


# machines that are taken


def want_what_nobody_has(user: HintUser) -> ShownError:
    user.log_in_at_mistgpu("20")
    return user.fail(f"{MISTGPU} --gpu H900", SoldOut)


def want_it_from_several(user: HintUser) -> ShownError:
    user.log_in_at_mistgpu("20")
    project = user.folder / "gpurent.toml"
    project.write_text('provider = ["mistgpu", "1024gpu"]\ngpu = "H900"\n')
    user.log_in_at_chain("1024gpu", "dbc", "2")
    return user.fail(f"plan --project {project} -- true", SoldOut)


def be_slower(user: HintUser) -> ShownError:
    user.log_in_at_mistgpu("20")
    taken = '<div class="alert alert-danger">机器已被占用</div>'
    machine = find_machine(user, "mistgpu")
    with user.fault("mistgpu", method="POST", path="/create/", body=taken):
        return user.fail(f"{MISTGPU} --machine {machine}", SoldOut)


def be_slower_at_1024gpu(user: HintUser) -> ShownError:
    user.log_in_at_chain("1024gpu", "dbc", "300000")
    with user.fault("1024gpu", path="/rent/place_order", body=make_refusal("该机器已被租用")):
        return user.fail(f"{PREPAID} --machine {find_machine(user, '1024gpu')}", SoldOut)


# leases


def name_no_lease(user: HintUser) -> ShownError:
    return user.fail("show nosuch", LeaseError)


def want_output_that_never_was(user: HintUser) -> ShownError:
    user.log_in_at_mistgpu("")
    user.type_line("run -p mistgpu --no-project -- true", code=5)
    (trip,) = user.read("trips")
    return user.fail(f"logs {trip['id']}", LeaseError)


def export_nothing(user: HintUser) -> ShownError:
    return user.fail("export openssh --all", LeaseError)


def use_a_machine_that_is_shut(user: HintUser) -> ShownError:
    user.log_in_at_mistgpu("20")
    lease = user.read(MISTGPU)["id"]
    user.type_line(f"release {lease}")
    return user.fail(f"exec {lease} -- true", LeaseGone)


def forget_a_running_machine(user: HintUser) -> ShownError:
    user.log_in_at_mistgpu("20")
    lease = user.read(MISTGPU)["id"]
    return user.fail(f"release {lease} --confirmed", LeaseError)


def get_the_machine_of_another_computer(user: HintUser) -> ShownError:
    """Our order arrives just after that of another computer on the account, and its answer is lost."""
    user.log_in_at_mistgpu("20")
    state: Any = user.sandbox.cloud.simulators_by_name["mistgpu"]
    state = state.state
    boot = state._boot_server

    async def boot_theirs(server: object, _password: str) -> None:
        state._boot_server = boot
        await boot(server, "another-password")

    state._boot_server = boot_theirs
    with user.fault("mistgpu", method="POST", path="/create/", lose=True, after=True, times=1):
        return user.fail(MISTGPU, ForeignMachine)


def use_the_password_again(user: HintUser) -> ShownError:
    """`resume` looks again, and finds the same."""
    first = get_the_machine_of_another_computer(user)
    (resume,) = (words for words in first.list_commands() if words[0] == "resume")
    return user.fail(" ".join(resume), ForeignMachine)


def start_a_machine_on_the_page(user: HintUser) -> ShownError:
    """It was shut down to keep results that did not come, and gpurent knows nothing of its start."""
    user.log_in_at_mistgpu("20")
    user.type_line("run -p mistgpu --no-project --results oot -- true", code=7)
    (trip,) = user.read("trips")
    state: Any = user.sandbox.cloud.simulators_by_name["mistgpu"]
    (server,) = state.state.list_servers(user.name)
    user.sandbox.advance(minutes=10)
    user.sandbox.run_in_loop(state.state.start_server(user.name, server.id, "another-password-1"))
    return user.fail(f"resume {trip['id']}", LeaseError)


# orders


def leave_a_renewal_unfinished(user: HintUser) -> tuple[str, str]:
    """Return the lease, and the trip of its renewal, which is paid and not yet counted."""
    user.log_in_at_chain("1024gpu", "dbc", "300000")
    lease = user.read(PREPAID)["id"]
    with user.fault("1024gpu", path=RENEWAL_CHECK, body=MAINTENANCE):
        user.type_line(f"renew {lease} --for 1d", code=8)
    (trip,) = (trip["id"] for trip in user.read("trips") if trip["kind"] == "renew")
    return lease, trip


def order_onto_an_unfinished_order(user: HintUser) -> ShownError:
    lease, _trip = leave_a_renewal_unfinished(user)
    with user.fault("1024gpu", path=RENEWAL_CHECK, body=MAINTENANCE):
        return user.fail(f"renew {lease} --for 2d", LeaseError)


def order_onto_an_order_of_the_guard(user: HintUser) -> ShownError:
    user.log_in_at_chain("1024gpu", "dbc", "300000")
    lease = user.read(PREPAID)["id"]
    user.write_configuration('[guard]\nrenew = "1d"\nrenew_before = "30h"\n')
    with user.fault("1024gpu", path=RENEWAL_CHECK, body=MAINTENANCE):
        (watched,) = user.type_line("--json watch --once", code=8).data
        assert watched["error"].endswith("The guard finishes it: gpurent watch --once")
        return user.fail(f"renew {lease} --for 2d", LeaseError)


def cancel_an_order_that_may_be_paid(user: HintUser) -> ShownError:
    _lease, trip = leave_a_renewal_unfinished(user)
    with user.fault("1024gpu", path=RENEWAL_CHECK, body=MAINTENANCE):
        return user.fail(f"trips cancel {trip}", LeaseError)


def pay_for_more_time_too_late(user: HintUser) -> ShownError:
    _lease, trip = leave_a_renewal_unfinished(user)
    user.sandbox.advance(minutes=15)
    return user.fail(f"resume {trip}", PaidTooLate)


def pay_too_late(user: HintUser) -> ShownError:
    """The trip gets the payment back by itself, so that nothing is left to do for the command."""
    user.log_in_at_chain("1024gpu", "dbc", "300000")
    with user.held_until_too_late("1024gpu", "/rent/pay"):
        return user.fail(PREPAID, PaidTooLate)


def get_no_refund(user: HintUser) -> ShownError:
    """The payment came too late, and the mailed code for its refund is refused, so the trip cannot get it back."""
    user.log_in_at_chain("1024gpu", "dbc", "300000")
    with (
        user.held_until_too_late("1024gpu", "/rent/pay"),
        user.fault("1024gpu", path="/rent/request_return_dbc", body=make_refusal("验证码错误")),
    ):
        first = user.fail(PREPAID, PaidTooLate)
        assert first.burning or first.list_commands()
        return user.fail(f"release {user.read('ls --all')[0]['id']}", LeaseError)


def get_no_stop(user: HintUser) -> ShownError:
    user.log_in_at_chain("1024gpu", "dbc", "300000")
    lease = user.read(PREPAID)["id"]
    with user.fault("1024gpu", path="/rent/stop", body=make_refusal("验证码错误")):
        return user.fail(f"release {lease}", LeaseError)


LIST_ALL = "See: gpurent ls --all"
LATE = "To get the payment back, for which 1024GPU e-mails a code: gpurent release {lease}"
LATE_RENEWAL = (
    "The machine runs on until the end that was paid for before. 1024GPU returns the payment when the lease is"
    " released, then or now: gpurent release {lease}"
)
NOT_YOURS = (
    "Look at the provider's page. If {ref} is yours: gpurent orphans --release {ref} --provider {provider}\n"
    "If it is not: gpurent release {lease} --confirmed"
)
PROVOCATIONS = (
    Provocation(MoneyError, "Top up first: gpurent topup {provider} {short}", have_no_money, check_rents),
    Provocation(
        MoneyError,
        "Nothing was spent. Top up first: gpurent topup mistgpu 20",
        have_no_money_after_all,
        check_rents,
    ),
    Provocation(
        MoneyError, "To see how to add DBC: gpurent topup 1024gpu", spend_the_wallet_elsewhere, check_nothing
    ),
    Provocation(PaidTooLate, LATE, pay_too_late, check_refunded),
    Provocation(PaidTooLate, LATE_RENEWAL, pay_for_more_time_too_late, check_refunded),
    Provocation(SoldOut, "See all offers: gpurent offers --all", want_what_nobody_has, check_nothing),
    Provocation(SoldOut, "See all offers: gpurent offers --all", want_it_from_several, check_nothing),
    Provocation(SoldOut, "Nothing was spent. Pick another machine: gpurent offers", be_slower, check_nothing),
    Provocation(SoldOut, "Pick another machine: gpurent offers", be_slower_at_1024gpu, check_nothing),
    Provocation(LeaseError, LIST_ALL, name_no_lease, check_nothing),
    Provocation(
        LeaseError,
        "The output of a trip's job is kept as far as gpurent saw it. See: gpurent trips",
        want_output_that_never_was,
        check_nothing,
    ),
    Provocation(LeaseError, LIST_ALL, export_nothing, check_nothing),
    Provocation(LeaseError, "Release it: gpurent release {lease}", forget_a_running_machine, check_released),
    Provocation(
        LeaseError,
        "Finish it first: gpurent resume {trip}",
        order_onto_an_unfinished_order,
        check_renewed,
    ),
    Provocation(
        LeaseError,
        "The guard finishes it: gpurent watch --once",
        order_onto_an_order_of_the_guard,
        check_renewed,
    ),
    Provocation(
        LeaseError, "Finish it: gpurent resume {trip}", cancel_an_order_that_may_be_paid, check_renewed
    ),
    Provocation(
        LeaseError,
        "1024GPU still holds the payment. Try again: gpurent release {lease}",
        get_no_refund,
        check_refunded,
    ),
    Provocation(
        LeaseError,
        "The container still runs on prepaid time. Try again: gpurent release {lease}",
        get_no_stop,
        check_released,
    ),
    Provocation(
        LeaseGone,
        "Start it again, which costs money: gpurent restart {lease}",
        use_a_machine_that_is_shut,
        check_running,
    ),
    Provocation(
        LeaseError,
        "Take it over, so that the trip can use it: gpurent orphans --adopt {ref}",
        start_a_machine_on_the_page,
        check_running,
    ),
    Provocation(ForeignMachine, NOT_YOURS, use_the_password_again, check_ended_as_named),
)
