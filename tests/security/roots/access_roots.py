"""The roots in mails, host keys, passwords and payees: S2, S7, S12."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

_CONTACT = "core/gpurent/domain/first_contact.py"
_CONTACTS = "core/gpurent/workflow/connection/contacts.py"
_IMAP = "plugins/imap/src/gpurent_plugin_imap"
_PAYEES = "core/gpurent/workflow/payments/payees.py"
_KEYS = "tests/security/test_host_keys.py"
_MAIL = "tests/security/test_mail_access.py"

ACCESS_ROOTS = (
    TestedRoot(
        name="verdict-of-mail-ignored",
        kind="S2",
        summary="Authentication-Results of the user's mail service decide nothing",
        edits=(
            Edit(
                f"{_IMAP}/mailbox.py",
                "is_authenticated=server.is_authenticated and is_checked,",
                "is_authenticated=server.is_authenticated,",
            ),
        ),
        tests=(
            f"{_MAIL}::test_the_sandbox_s_mailbox_checks_senders",
            f"{_MAIL}::test_a_forged_mail_is_asked_about_until_the_real_one_is_there",
        ),
    ),
    TestedRoot(
        name="failed-check-passes",
        kind="S2",
        summary="a mail whose check failed is believed",
        edits=(
            Edit(
                f"{_IMAP}/authentication_results.py",
                'return all(it.result == "pass" and it.properties',
                "return all(it.properties",
            ),
        ),
        tests=(f"{_MAIL}::test_a_mail_that_did_not_pass_is_not_believed",),
    ),
    TestedRoot(
        name="results-of-any-server",
        kind="S2",
        summary="the sender writes Authentication-Results into the mail",
        edits=(
            Edit(
                f"{_IMAP}/authentication_results.py",
                '_unquote(found["name"]).lower() == authserv_id.lower()',
                'bool(found["name"])',
            ),
        ),
        tests=(f"{_MAIL}::test_results_that_the_sender_wrote_do_not_count",),
    ),
    TestedRoot(
        name="any-mailbox-is-believed",
        kind="S2",
        summary="a mailbox without TLS that anybody may run counts as the user's own",
        edits=(
            Edit(
                f"{_IMAP}/mailbox.py",
                "is_authenticated=server.is_authenticated and is_checked,",
                "is_authenticated=is_checked,",
            ),
        ),
        tests=(f"{_MAIL}::test_a_mailbox_that_anybody_may_run_is_not_believed",),
    ),
    TestedRoot(
        name="forged-mail-displaces",
        kind="S2",
        summary="1024gpu: the newest mail counts, although another one was confirmed",
        edits=(
            Edit(
                "plugins/gpu1024/src/gpurent_plugin_gpu1024/mail.py",
                "if found is not None and mail.source.is_authenticated:",
                "if found is not None:",
            ),
        ),
        tests=(f"{_MAIL}::test_a_forged_mail_does_not_displace_a_confirmed_one",),
    ),
    TestedRoot(
        name="unconfirmed-access-goes-on",
        kind="S2",
        summary="the first contact goes on, whoever named the machine",
        edits=(
            Edit(
                "core/gpurent/domain/access.py",
                "return self.is_authenticated and self.endpoint == endpoint",
                "return self.endpoint == endpoint",
            ),
        ),
        tests=(
            f"{_KEYS}::test_unauthenticated_access_needs_a_person",
            f"{_KEYS}::test_after_our_own_order_a_mail_is_still_checked",
        ),
    ),
    TestedRoot(
        name="minus-y-is-a-person",
        kind="S2",
        summary="-y answers questions that only a person can answer",
        edits=(
            Edit(
                "core/gpurent/cli/terminal.py",
                "        if self._yes and not question.needs_person:",
                "        if self._yes:",
            ),
        ),
        tests=(f"{_KEYS}::test_minus_y_is_no_answer_where_a_person_is_needed",),
    ),
    TestedRoot(
        name="inner-addresses",
        kind="S2",
        summary="a mail may lead to this computer, the local network, a cloud's metadata",
        edits=(
            Edit(
                _CONTACT,
                "    if not _may_lead_there(contact):\n",
                "    if not contact.endpoint:\n",
            ),
        ),
        tests=(
            f"{_KEYS}::test_inner_addresses_are_not_even_dialled",
            f"{_KEYS}::test_a_name_is_judged_by_where_it_leads",
        ),
    ),
    TestedRoot(
        name="name-is-looked-up-again",
        kind="S2",
        summary="a host name may lead elsewhere between the check and the connection",
        edits=(
            Edit(
                "core/gpurent/infra/ssh/sockets.py",
                "for address in addresses or await _look_up(endpoint):",
                "for address in await _look_up(endpoint):",
            ),
        ),
        tests=(f"{_KEYS}::test_only_the_checked_addresses_are_dialled",),
    ),
    TestedRoot(
        name="changed-key-goes-on",
        kind="S7",
        summary="another host key at a pinned place is no question",
        edits=(
            Edit(
                _CONTACT,
                "    if contact.place is PlaceState.OTHER_KEY:\n",
                "    if contact.place is None:\n",
            ),
        ),
        tests=(f"{_KEYS}::test_a_changed_key_asks_and_gets_no_password",),
    ),
    TestedRoot(
        name="changed-key-gets-the-password",
        kind="S7",
        summary="a machine with another host key is sent the password",
        edits=(
            Edit(
                _CONTACTS,
                "request.lease_id, request.endpoint, None, own_key, addresses=addresses",
                "request.lease_id, request.endpoint, password, own_key, addresses=addresses",
            ),
        ),
        tests=(f"{_KEYS}::test_a_changed_key_asks_and_gets_no_password",),
    ),
    TestedRoot(
        name="new-place-goes-on",
        kind="S7",
        summary="another place of a known lease is no question",
        edits=(
            Edit(
                _CONTACT,
                "    if contact.place is PlaceState.OTHER_PLACE:\n",
                "    if contact.place is None:\n",
            ),
        ),
        tests=(f"{_KEYS}::test_a_new_place_asks_and_never_gets_the_old_password",),
    ),
    TestedRoot(
        name="old-password-to-a-new-place",
        kind="S7",
        summary="a password is sent to another place than the one that it was made for",
        edits=(
            Edit(
                _CONTACTS,
                "return password if came_with_it and not is_same_place else None",
                "return password",
            ),
        ),
        tests=(f"{_KEYS}::test_a_new_place_asks_and_never_gets_the_old_password",),
    ),
    TestedRoot(
        name="fingerprint-not-compared",
        kind="S7",
        summary="the fingerprint that the user typed is not compared",
        edits=(
            Edit(
                _CONTACTS,
                "if not _is_same(request.fingerprint, key.fingerprint):",
                "if not key.fingerprint:",
            ),
        ),
        tests=(f"{_KEYS}::test_another_fingerprint_than_the_user_s_is_refused",),
    ),
    TestedRoot(
        name="payee-not-asked",
        kind="S12",
        summary="a bill may go to anybody",
        edits=(
            Edit(_PAYEES, "if not expected or bill.payee in expected:", "if bill.payee or not expected:"),
        ),
        tests=(
            "tests/security/test_payees.py::test_a_changed_payee_asks",
            "tests/security/test_payees.py::test_an_order_s_own_payee_stays_the_same",
        ),
    ),
    TestedRoot(
        name="payee-of-an-agreed-bill",
        kind="S12",
        summary="the payee of a bill that was agreed to may change",
        edits=(
            Edit(
                _PAYEES,
                "same_bill = [other for other in known if other.key == bill.key]",
                "same_bill = list(known[:0])",
            ),
        ),
        tests=("tests/security/test_payees.py::test_an_order_s_own_payee_stays_the_same",),
    ),
)
