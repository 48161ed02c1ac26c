"""The use cases and steps of trips: whole trips, single orders, releases."""

from __future__ import annotations

from gpurent.composition.machines import MachineParts
from gpurent.composition.money import MoneyParts
from gpurent.composition.runtime import RuntimeParts
from gpurent.workflow.payments import order_pricing
from gpurent.workflow.reports import late_orders, orphan_money, orphan_volumes
from gpurent.workflow.reports.offers import Market
from gpurent.workflow.reports.orphans import OrphanSearch
from gpurent.workflow.reports.trip_report import TripReports
from gpurent.workflow.reports.volume_list import VolumeLists
from gpurent.workflow.steps import (
    bind_mail,
    check_funds,
    connect,
    doctor,
    download,
    job_limits,
    job_watch,
    keep_results,
    launch,
    login,
    make_plan,
    monitor,
    order_records,
    provider_orders,
    provision,
    release,
    select_offer,
    setup,
    unsent_orders,
    upload,
)
from gpurent.workflow.trips import (
    bids,
    cancel,
    continuation,
    execute,
    finish,
    lease_orders,
    machine_stops,
    machine_use,
    machine_work,
    mail_addresses,
    open_trips,
    operations,
    orphans,
    plan_legs,
    previews,
    project_folders,
    provider_selection,
    release_review,
    releases,
    repeated_runs,
    restart_kept,
    restarted_leases,
    stock_wait,
    tool_selection,
    volumes,
)


class TripParts:
    """The use cases that a user starts."""

    def __init__(self, base: RuntimeParts, money: MoneyParts, machines: MachineParts) -> None:
        store, plugins, leases = base.store, base.plugins, base.leases
        poller, clock, settings = base.poller, base.clock, base.settings
        timers, connections, runners = machines.trip_timers, machines.connections, machines.job_runners

        login_step = login.LoginStep(plugins, base.logins)
        bind_mail_step = bind_mail.BindMailStep(
            plugins,
            money.payments,
            settings,
            base.questions,
            money.budgets,
            store,
            base.logins,
            base.locks,
            poller,
        )
        self.mail_addresses = mail_addresses.MailAddresses(
            base.trip_tracker, plugins, bind_mail_step, base.bookkeeping
        )
        select_offer_step = select_offer.SelectOfferStep(money.offer_listing, store, base.service_clocks)
        make_plan_step = make_plan.MakePlanStep(plugins, money.quotes, base.volumes)
        check_funds_step = check_funds.CheckFundsStep(money.budgets, money.quotes)
        orders = provider_orders.ProviderOrders(leases, plugins, base.secrets, base.connector, poller)
        records = order_records.OrderRecorder(leases, plugins, money.payments)
        unsent = unsent_orders.UnsentOrders(leases, money.payments)
        provision_step = provision.ProvisionStep(
            leases, base.locks, base.lost_leases, records, orders, money.payments, base.bookkeeping
        )
        connect_step = connect.ConnectStep(connections)
        doctor_step = doctor.DoctorStep(machines.doctor, plugins, settings)
        upload_step = upload.UploadStep(
            machines.transfers, machines.predialler, machines.upload_guard, machines.upload_previewer
        )
        job_watcher = job_watch.JobWatcher(runners, timers, base.terminal, poller)
        setup_logs = setup.SetupLogs(settings, base.platform)
        limits = job_limits.JobLimits(money.budgets, machines.guard_policies, base.service_clocks)
        setup_step = setup.SetupStep(plugins, runners, job_watcher, limits, setup_logs)
        launch_step = launch.LaunchStep(runners, clock)
        monitor_step = monitor.MonitorStep(
            job_watcher, limits, base.time_left, base.time_warnings, clock, machines.kept_logs
        )
        download_step = download.DownloadStep(machines.results, connections, poller)
        self.release_step = release.ReleaseStep(
            leases, machines.ownership, base.locks, poller, base.bookkeeping
        )

        tools = tool_selection.ToolSelector(plugins)
        preview = previews.PlanPreviewer(select_offer_step, make_plan_step)
        self.dry_run = previews.DryRun(
            plugins,
            base.logins,
            preview,
            check_funds_step,
            upload_step,
            money.rates,
            tools,
            money.payees,
        )
        self.market = Market(
            plugins, money.offer_listing, money.quotes, money.rates, make_plan_step.make_plan
        )
        self.provider_selector = provider_selection.ProviderSelector(
            machines.instructions,
            login_step,
            preview,
            money.budgets,
            money.quotes,
            self.market,
            store,
            base.events,
        )

        self.stock_wait = stock_wait.StockWait(self.provider_selector, base.questions, base.events, poller)

        pricer = order_pricing.OrderPricer(money.quotes, money.budgets)
        restarted = restarted_leases.RestartedLeases(store, base.trip_tracker)
        self.releases = releases.Releases(
            base.trip_tracker,
            leases,
            base.lost_leases,
            unsent,
            self.release_step,
            money.receipts,
            money.refund_quotes,
            restarted,
            base.questions,
        )
        self.release_review = release_review.ReleaseReview(
            store,
            base.locks,
            connections,
            runners,
            machines.results,
            base.questions,
            money.refund_quotes,
        )
        self.repeated_runs = repeated_runs.RepeatedRuns(base.trip_tracker, base.questions)
        self.lease_orders = lease_orders.LeaseOrders(
            base.trip_tracker,
            pricer,
            money.spending,
            provision_step,
            self.releases,
            money.trip_spending,
            restarted,
        )
        starter = machine_stops.MachineStarter(
            leases, base.locks, poller, pricer, money.spending, orders, store, machines.provider_timers
        )
        self.machine_stops = machine_stops.MachineStops(
            base.trip_tracker, leases, base.locks, poller, self.release_review, base.questions, starter
        )
        self.bid_changes = bids.BidChanges(leases, base.locks, base.questions, base.restore_checks)
        self.lease_changes = operations.LeaseChanges(
            leases,
            plugins,
            money.offer_listing,
            self.lease_orders,
            machines.timer_commands,
            self.machine_stops,
        )

        planner = plan_legs.TripPlanner(
            login_step,
            select_offer_step,
            make_plan_step,
            check_funds_step,
            money.spending,
            upload_step,
            bind_mail_step,
        )
        preparation = machine_work.MachinePreparation(connections, upload_step, setup_step, timers)
        job = machine_work.TripJob(runners, timers, launch_step, monitor_step, download_step)
        work = machine_work.LegRunner(connect_step, doctor_step, preparation, job, timers)
        self.keep_results = keep_results.KeepResultsStep(
            leases,
            plugins,
            base.locks,
            poller,
            connections,
            base.machine_timers,
            machines.provider_timers,
            base.service_clocks,
        )
        kept_restart = restart_kept.KeptRestart(leases, plugins, pricer, provision_step, restarted, starter)
        final_download = finish.FinalDownload(connections, runners, download_step)
        self.machine_uses = machine_use.MachineUseFinder(store, self.release_review)
        self.continuation = continuation.TripContinuation(base.trip_tracker, leases)
        finalizer = finish.TripFinalizer(
            store,
            self.machine_uses,
            final_download,
            self.keep_results,
            kept_restart,
            self.release_step,
            money.receipts,
            money.trip_spending,
            self.continuation,
        )
        executor = execute.TripExecutor(
            planner,
            provision_step,
            machines.manual_rental,
            work,
            finalizer,
            kept_restart,
            tools,
            base.restore_checks,
        )
        self.trips = operations.Trips(
            base.trip_tracker,
            leases,
            self.provider_selector,
            executor,
            self.lease_orders,
            money.trip_spending,
            self.continuation,
            project_folders.ProjectFolders(store, base.lease_copies, base.locks, base.events),
        )
        late = late_orders.LateOrders(leases, machines.ownership)
        orphaned_money = orphan_money.OrphanMoney(store, base.bookkeeping, money.volume_books)
        self.orphan_search = OrphanSearch(
            leases,
            base.logins,
            late,
            orphaned_money,
            orphan_volumes.OrphanVolumes(base.volumes, base.lease_copies),
        )
        self.orphan_commands = orphans.OrphanCommands(
            self.orphan_search,
            base.lost_leases,
            machines.ownership,
            base.secrets,
            base.questions,
            self.release_review,
            self.releases,
        )
        self.volume_lists = VolumeLists(base.volumes, store, base.logins)
        self.volume_commands = volumes.VolumeCommands(
            base.volumes,
            store,
            base.logins,
            base.lease_copies,
            base.questions,
            base.locks,
            poller,
            money.receipts,
            money.budgets,
            base.restore_checks,
        )
        self.open_trips = open_trips.OpenTrips(base.trip_tracker, leases, self.trips)
        self.trip_cancellation = cancel.TripCancellation(
            base.trip_tracker,
            base.lost_leases,
            records,
            unsent,
            base.questions,
            cancel.JobEnding(connections, runners, final_download),
            self.release_step,
            money.receipts,
            kept_restart,
            self.keep_results,
            self.machine_uses,
        )
        self.trip_reports = TripReports(store, base.trip_tracker, base.bookkeeping, machines.kept_logs)
