"""Machines: connections, transfers, jobs, timers, and machines that are rented manually."""

from __future__ import annotations

from functools import cached_property

from gpurent.composition import system
from gpurent.composition.runtime import RuntimeParts
from gpurent.infra.kept_logs import KeptLogFiles
from gpurent.infra.ssh.connector import load_private_key
from gpurent.infra.transferred_files import TransferredFileNotes
from gpurent.workflow.connection import (
    contact_commands,
    contact_questions,
    contacts,
    exports,
    job_output,
    job_variables,
    jobs,
    known_files,
    local_names,
    machine_commands,
    ownership,
    port_forwarding,
    probes,
    reconnecting,
    results_download,
    transfers,
    upload_guard,
    upload_previews,
)
from gpurent.workflow.manual import adopt, instructions, provider, rental
from gpurent.workflow.timing import guard_policy, provider_timers, timers


class MachineParts:
    """The parts that work on a machine."""

    def __init__(self, base: RuntimeParts) -> None:
        plugins, leases, clock, connector = base.plugins, base.leases, base.clock, base.connector
        asked_contacts = contact_questions.ContactQuestions(base.questions, connector)
        self.contacts = contacts.MachineContacts(
            connector,
            base.secrets,
            asked_contacts,
            base.events,
            base.service_sources.uses_real_services,
        )
        self.ownership = ownership.OwnershipProof(leases, connector, self.contacts)
        self.contact_commands = contact_commands.ContactCommands(leases, connector, self.ownership)
        self.connections = reconnecting.Connections(leases, base.poller, base.events, self.ownership)
        names = local_names.LocalNamesMaker(base.platform, base.settings.user_home)
        known = known_files.KnownFilesMaker(TransferredFileNotes(base.home / "transferred"))
        local = transfers.LocalSide(base.files, names, known)
        self.transfers = transfers.FileTransfers(plugins, base.events, base.terminal, local, base.questions)
        variables = job_variables.JobVariables(base.files, base.secrets, base.redactor)
        self.job_runners = jobs.JobRunners(plugins, variables)
        self.kept_logs = KeptLogFiles(base.home / "trips")
        self.results = results_download.ResultsDownloader(self.transfers, self.job_runners, self.kept_logs)
        self.predialler = transfers.Predialler(connector, self.transfers)
        self.upload_guard = upload_guard.UploadGuard(
            base.settings.user_home, (base.home, system.default_data_folder()), base.files
        )
        self.upload_previewer = upload_previews.UploadPreviewer(self.transfers)
        self.file_commands = transfers.FileCommands(
            self.connections, self.transfers, self.predialler, self.upload_guard
        )
        self.machine_commands = machine_commands.MachineCommands(
            self.connections, self.job_runners, base.store, base.terminal
        )
        self.job_outputs = job_output.JobOutputs(
            base.store, self.machine_commands, self.kept_logs, base.terminal
        )
        self.machine_facts = probes.MachineFactsReader(plugins, clock, self.connections, leases)
        self.doctor = probes.Doctor(self.connections, plugins, clock)
        self.notebooks = port_forwarding.NotebookServers(
            self.connections, self.job_runners, plugins, base.questions, base.redactor
        )
        profiles = exports.LeaseProfiles(self.connections, connector, base.secrets)
        self.exports = exports.Exports(plugins, leases, profiles, base.settings, base.questions)
        self.export_cleanup = exports.ExportCleanup(plugins, base.settings, base.events)

        self.guard_policies = guard_policy.GuardPolicies(base.settings)
        in_machines, policies = base.machine_timers, self.guard_policies
        self.provider_timers = provider_timers.ProviderTimers(leases, base.store, policies, base.events)
        layers = in_machines, self.provider_timers, policies, base.service_clocks, base.events
        self.trip_timers = timers.TripTimers(*layers)
        self.timer_commands = timers.TimerCommands(self.connections, *layers)

        self.instructions = instructions.ManualInstructions(
            plugins, base.settings, base.events, base.platform
        )
        adoption = adopt.Adoption(
            leases, connector, self.contacts, base.secrets, base.redactor, self.machine_facts
        )
        self.manual_commands = adopt.ManualCommands(plugins, adoption, leases, connector, clock)
        mailed = rental.AccessMailReader(base.mail, base.store, base.poller)
        asked = rental.ManualRentalQuestions(base.questions, clock, load_private_key)
        self.manual_rental = rental.ManualRental(self.instructions, mailed, asked, adoption, clock)
        by_user = provider.ManualRelease(
            self.instructions, base.mail, base.questions, base.poller, base.events
        )
        self.adopted_lease_provider = provider.AdoptedLeaseProvider(
            plugins, clock, connector, self.contacts, by_user
        )

    @cached_property
    def forwarding(self) -> port_forwarding.PortForwarder:
        from gpurent.infra.ssh.tunnel import SshTunnel  # loads the SSH library

        return port_forwarding.PortForwarder(self.connections, SshTunnel)
