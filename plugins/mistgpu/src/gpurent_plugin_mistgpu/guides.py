"""What a person does on MISTGPU's pages. Addresses and buttons are the operator's own, from its help pages."""

from __future__ import annotations

from gpurent.api import Instructions, ManualTask
from gpurent_plugin_mistgpu.messages import _


def guide(base: str, errand: ManualTask) -> Instructions:
    """Where to click; MISTGPU sends no mails."""
    base = base.rstrip("/")
    if errand is ManualTask.RENT:
        return Instructions(
            url=f"{base}/create_simple/",
            steps=(
                _(
                    "Sign in, pick a GPU and its software (软件框架), and choose a password (8 characters or more)"
                ),
                _("Press create (创建服务器); it is billed by the minute from here on"),
                _("Copy the SSH command (SSH命令) of your server list: ssh mist@gpu28.mistgpu.com -p 10000"),
            ),
        )
    if errand is ManualTask.RELEASE:
        return Instructions(
            url=f"{base}/user/",
            steps=(
                _("Find the server in your server list (服务器管理)"),
                _("Press shut down (关机) and wait until the list no longer says that it runs (正在运行)"),
            ),
        )
    return Instructions(url=f"{base}/user/", steps=(_("Press top up (充值) and pay with Alipay (支付宝)"),))
