"""The steps of a trip, as people read them."""

from __future__ import annotations

from gpurent.locale import N_

STEP_TITLES = {
    "login": N_("logging in"),
    "bind-mail.request": N_("binding your e-mail address"),
    "bind-mail": N_("confirming your e-mail address"),
    "select-provider": N_("selecting a provider"),
    "select-offer": N_("selecting a machine"),
    "manual-rental": N_("adopting a machine"),
    "plan": N_("planning"),
    "check-funds": N_("checking the balance"),
    "authorize": N_("agreeing to the price"),
    "order": N_("recording the order"),
    "quote": N_("pricing the order"),
    "reserve": N_("placing the order"),
    "bill": N_("waiting for the bill"),
    "price": N_("comparing the price"),
    "pay": N_("paying"),
    "confirm": N_("confirming the order"),
    "ready": N_("waiting for the machine"),
    "connect": N_("connecting"),
    "doctor": N_("examining the machine"),
    "upload-setup": N_("uploading what the setup needs"),
    "upload": N_("uploading"),
    "upload-inputs": N_("noting which results are uploaded"),
    "setup": N_("setting up the machine"),
    "launch": N_("starting the job"),
    "monitor": N_("running the job"),
    "download": N_("downloading the results"),
    "results": N_("listing the results"),
    "quote-refund": N_("asking what is refunded"),
    "release": N_("releasing the machine"),
    "receipt": N_("settling the costs"),
}
