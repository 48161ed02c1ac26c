"""Faults of what some providers can do: renewal, staging, stop and restart, mail binding, manual rental."""

from __future__ import annotations

from tests.testing.seeded.fault import seed

CAPABILITY_FAULTS = (
    seed(
        "renewal",
        "end-not-moved",
        "a renewal keeps the old end",
        "gpu1024",
        "test_a_renewal_moves_the_end_by_its_term",
        (
            "provider.py",
            "until = listed_order.expires_at if listed_order else lease.expires_at",
            "until = lease.expires_at",
        ),
    ),
    seed(
        "renewal",
        "of-nothing",
        "a renewal order names our id, not the provider's",
        "gpu1024",
        "test_a_renewal_order_asks_nobody",
        ("provider.py", "            onto=lease.ref,\n", "            onto=lease.id,\n"),
    ),
    seed(
        "renewal",
        "of-half-the-time",
        "half of the time is bought",
        "dbcchain",
        "test_a_renewal_moves_the_end_by_its_term",
        (
            "provider.py",
            "blocks = max(to_blocks(term), MIN_RELET_BLOCKS)",
            "blocks = max(to_blocks(term / 2), MIN_RELET_BLOCKS)",
        ),
    ),
    seed(
        "staging",
        "not-cheaper",
        "the staging order is for the wanted machine itself",
        "gpu1024",
        "test_a_staging_order_is_of_the_same_machine",
        (
            "provider.py",
            "            offer=wire.make_cpu_offer(order.offer),\n",
            "            offer=order.offer,\n",
        ),
    ),
    seed(
        "staging",
        "with-gpu",
        "the staging order asks for a GPU",
        "gpu1024",
        "test_a_staging_order_is_of_the_same_machine",
        (
            "provider.py",
            "            gpus=0,\n            disk=order.disk,",
            "            gpus=1,\n            disk=order.disk,",
        ),
    ),
    seed(
        "staging",
        "switch-without-old",
        "the switch does not name the machine that it replaces",
        "gpu1024",
        "test_the_wanted_machine_takes_its_place",
        ("orders.py", '"order_id_pre": order.onto}', '"order_id_pre": order.key}'),
    ),
    seed(
        "stop",
        "only-said",
        "a stop is reported and not sent",
        "mistgpu",
        "test_a_stopped_machine_costs_nothing_and_keeps_its_files",
        (
            "provider.py",
            "        return await self.release_lease(lease)\n",
            "        return lease if lease.is_over else lease.with_state(LeaseState.KEPT)\n",
        ),
    ),
    seed(
        "restart",
        "new-machine",
        "a restart orders a new machine",
        "mistgpu",
        "test_it_comes_back_with_its_files",
        (
            "provider.py",
            'offer=evolve(lease.offer, provider_data={"restart_server": lease.ref}),',
            "offer=lease.offer,",
        ),
    ),
    seed(
        "restart",
        "of-another-key",
        "a restart order has a key of its own",
        "mistgpu",
        "test_a_restart_order_asks_nobody",
        (
            "provider.py",
            "        return Order(\n            key=key,\n            kind=OrderKind.NEW,\n            offer=evolve(",
            '        return Order(\n            key=f"{key}-again",\n            kind=OrderKind.NEW,\n            offer=evolve(',
        ),
    ),
    seed(
        "mail-binding",
        "done-at-once",
        "the binding is done before the provider has seen the payment",
        "gpu1024",
        "test_an_address_is_bound",
        (
            "mail.py",
            "return evolve(binding, done=found.status == wire.DONE)",
            "return evolve(binding, done=bool(found.status))",
        ),
    ),
    seed(
        "mail-binding",
        "bad-answer-is-unbound",
        "an answer that is not understood means that no address is bound",
        "gpu1024",
        "test_a_bad_answer_is_no_bound_address",
        (
            "mail.py",
            "    async def get_bound_email(self) -> str:\n        found = await self._client.call(\n"
            '            "/binding_email_rent/query_email", wallet_address=await self._client.get_wallet_address()\n        )\n',
            "    async def get_bound_email(self) -> str:\n        try:\n            found = await self._client.call(\n"
            '                "/binding_email_rent/query_email", wallet_address=await self._client.get_wallet_address()\n            )\n'
            '        except Exception:\n            return ""\n',
        ),
    ),
    seed(
        "assisted-rental",
        "foreign-page",
        "the instructions open a page of somebody else",
        "mistgpu",
        "test_each_task_has_steps_on_the_provider_s_own_pages",
        ("provider.py", 'url=f"{base}/create_simple/",', 'url="https://mistgpu.example/create_simple/",'),
    ),
    seed(
        "assisted-rental",
        "no-steps",
        "a task has a page and no steps",
        "gpu1024",
        "test_each_task_has_steps_on_the_provider_s_own_pages",
        (
            "mail.py",
            'url=url, steps=(_("Buy DBC (如何购买DBC); your wallet address is already filled in"),)',
            "url=url",
        ),
    ),
    seed(
        "manual-provider",
        "release-only-said",
        "a machine that nobody can end is reported as released",
        "ssh",
        "test_a_release_is_the_user_s",
        (
            "provider.py",
            "    def get_instructions(",
            "    async def release_lease(self, lease: Lease) -> Lease:\n        return lease\n\n    def get_instructions(",
        ),
    ),
    seed(
        "manual-provider",
        "foreign-page",
        "the instructions open a page of somebody else",
        "ssh",
        "test_each_task_has_steps_on_its_own_pages",
        (
            "provider.py",
            "TaskInstructions(steps=(steps[task],))",
            'TaskInstructions(url="https://evil.example", steps=(steps[task],))',
        ),
    ),
    seed(
        "manual-provider",
        "knows-no-machines",
        "that it cannot list machines means that there are none",
        "ssh",
        "test_it_never_says_what_is_gone",
        (
            "provider.py",
            "    def get_instructions(",
            "    async def list_leases(self) -> object:\n        from gpurent.api import Known\n\n        return Known(())\n\n    def get_instructions(",
        ),
    ),
)
