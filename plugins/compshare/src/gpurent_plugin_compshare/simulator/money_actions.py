"""The account: its project, its balance, its bills."""

from __future__ import annotations

import re
from typing import Any

from gpurent.api import Evidence
from gpurent_plugin_compshare import _
from gpurent_plugin_compshare.simulator.accounts import CompShareAccount
from gpurent_plugin_compshare.simulator.amounts import CHINA, Bill, make_yuan
from gpurent_plugin_compshare.simulator.calls import INVALID, ApiAction, Call, CompShareRefusal, to_seconds
from gpurent_plugin_compshare.simulator.state import CompShareState

MAX_LIMIT = 100


class MoneyActions:
    """The actions of the account."""

    def __init__(self, state: CompShareState) -> None:
        self._state = state

    def list_actions(self) -> list[ApiAction]:
        return [
            ApiAction(name="GetProjectList", handle=self._list_projects),
            ApiAction(
                name="GetBalance",
                handle=self._show_balance,
                evidence=Evidence.SOURCE,
                note=_("of its parent UCloud; that this service answers it too is assumed"),
            ),
            ApiAction(
                name="ListUBillDetail",
                handle=self._list_bills,
                evidence=Evidence.SOURCE,
                note=_("of its parent UCloud, up to a day late; that this service answers it too is assumed"),
            ),
        ]

    async def _list_projects(self, call: Call) -> dict[str, Any]:
        project = {
            "ProjectId": call.account.project,
            "ProjectName": "Default",
            "IsDefault": True,
            "ParentId": "",
            "ParentName": "",
            "CreateTime": 0,
            "MemberCount": 1,
            "ResourceCount": len(call.account.list_instances()),
        }
        return {"ProjectCount": 1, "ProjectSet": [project]}

    async def _show_balance(self, call: Call) -> dict[str, Any]:
        return {"AccountInfo": call.account.describe_balance()}

    async def _list_bills(self, call: Call) -> dict[str, Any]:
        cycle, wanted = call.get_text("BillingCycle"), call.list_texts("ResourceIds")
        if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", cycle, re.ASCII):
            raise CompShareRefusal(INVALID, "Params [BillingCycle] not available")
        limit, offset = call.get_number("Limit", default=25), call.get_number("Offset", default=0)
        found = [
            _describe_bill(bill, call.account)
            for bill in call.account.bills
            if f"{bill.at + CHINA:%Y-%m}" == cycle
            and (not wanted or bill.resource in wanted)
            and bill.at + self._state.bill_delay <= self._state.at
        ]
        page = found[offset : offset + min(limit, MAX_LIMIT)]
        return {"TotalCount": len(found), "Items": page or None}


def _describe_bill(bill: Bill, account: CompShareAccount) -> dict[str, Any]:
    return {
        "OrderNo": bill.number,
        "OrderType": bill.order_type,
        "ChargeType": bill.charge_type,
        "ResourceId": bill.resource,
        "ResourceType": "uhost",
        "ResourceTypeCode": 9,
        "ResourceLabel": None,
        "ResourceExtendInfo": [],
        "Amount": f"{make_yuan(bill.amount):f}",
        "AmountReal": f"{make_yuan(bill.cash):f}",
        "AmountCoupon": f"{make_yuan(bill.coupon):f}",
        "AmountFree": "0.0000",
        "CreateTime": to_seconds(bill.at),
        "StartTime": to_seconds(bill.start),
        "EndTime": to_seconds(bill.end),
        "ItemDetails": [],
        "AzGroupCName": "",
        "BusinessGroup": "Default",
        "ProjectId": account.project,
        "ProjectName": "Default",
        "UserEmail": account.email,
        "UserName": account.email.partition("@")[0],
        "UserDisplayName": account.email.partition("@")[0],
        "Admin": 0,
        "ShowHover": 0,
    }
