"""What a person does on 1024GPU's pages, in the words of its public web client. Access and codes come by mail."""

from __future__ import annotations

from gpurent.api import Instructions, Lease, ManualTask
from gpurent_plugin_gpu1024.messages import _


def guide(site: str, sender: str, errand: ManualTask, lease: Lease | None) -> Instructions:
    """Where to click, and which mail follows."""
    url = f"{site.rstrip('/')}/home"
    if errand is ManualTask.RENT:
        return Instructions(
            url=url,
            steps=(
                _("Open your wallet, bind your e-mail address, and pick a machine"),
                _("Rent it and pay the DBC it asks for; the SSH line comes by mail"),
            ),
            sender=sender,
            subject="登录方式",
        )
    if errand is ManualTask.RELEASE:
        return Instructions(
            url=url,
            steps=(
                _("Find the order {ref} among your GPUs (我的GPU) and press return (退租)").format(
                    ref=lease.ref if lease is not None else ""
                ),
                _("Type the code that comes by mail (验证码); what was not used comes back"),
            ),
            sender=sender,
            code=r"(?:验证码[：:]\s*)?(\d{4,8})",
        )
    return Instructions(url=url, steps=(_("Buy DBC (如何购买DBC); your wallet's address is filled in"),))
