"""How the API shows pods, keys, disks and bills."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from gpurent_plugin_prime.simulator.state import (
    Disk,
    Pod,
    PrimeAccount,
    Resource,
    SshKey,
    write_time,
)


def make_usd(micros: int | Fraction) -> Decimal:
    """Return micro-USD as USD, exactly; a price has at most 12 decimals."""
    return Decimal(round(Fraction(micros) * 10**6)).scaleb(-12)


def describe_pod(account: PrimeAccount, pod: Pod) -> dict[str, Any]:
    return {
        "id": pod.id,
        "userId": account.user_id,
        "teamId": None,
        "walletId": account.wallet_id,
        "name": pod.name,
        "type": "HOSTED",
        "providerType": pod.listing.cloud.name,
        "status": pod.status,
        "installationStatus": pod.installation,
        "installationFailure": pod.failure,
        "installationProgress": 100 if pod.installation == "FINISHED" else 0,
        "createdAt": write_time(pod.created_at),
        "updatedAt": write_time(pod.created_at),
        "terminatedAt": write_time(pod.ended_at) if pod.ended_at else None,
        "gpuName": pod.listing.model.kind,
        "gpuCount": pod.listing.gpus,
        "socket": pod.listing.model.socket,
        "priceHr": make_usd(pod.price),
        "stoppedPriceHr": None,
        "provisioningPriceHr": 0,
        "environmentType": pod.image,
        "customTemplateId": None,
        "clusterId": None,
        "primePortMapping": [],
        "sshConnection": describe_ssh(pod),
        "ip": _list_if(pod, "127.0.0.1" if pod.port else None),
        "resources": {"memory": pod.listing.model.ram, "disk": pod.disk, "vcpus": pod.listing.model.vcpus},
        "attachedResources": [],
        "isSpot": False,
        "autoRestart": False,
    }


def describe_ssh(pod: Pod) -> str | list[str | None] | None:
    """Return the SSH command: text, or at some clouds a list, with null while there is none."""
    return _list_if(pod, f"root@127.0.0.1 -p {pod.port}" if pod.port else None)


def _list_if(pod: Pod, text: str | None) -> str | list[str | None] | None:
    return [text] if pod.listing.cloud.lists_ssh else text


def describe_status(pod: Pod) -> dict[str, Any]:
    return {
        "podId": pod.id,
        "providerType": pod.listing.cloud.name,
        "status": pod.status,
        "sshConnection": describe_ssh(pod),
        "priceHr": make_usd(pod.price),
        "ip": _list_if(pod, "127.0.0.1" if pod.port else None),
        "primePortMapping": [],
        "installationStatus": pod.installation,
        "installationFailure": pod.failure,
        "installationProgress": 100 if pod.installation == "FINISHED" else 0,
    }


def describe_history(account: PrimeAccount, pod: Pod, at: datetime) -> dict[str, Any]:
    return {
        "id": pod.id,
        "name": pod.name,
        "providerType": pod.listing.cloud.name,
        "provisionedBy": "sandbox",
        "type": "Instance",
        "createdAt": write_time(pod.created_at),
        "terminatedAt": write_time(pod.ended_at) if pod.ended_at else None,
        "gpuName": pod.listing.model.kind,
        "gpuCount": pod.listing.gpus,
        "socket": pod.listing.model.socket,
        "priceHr": make_usd(pod.price),
        "userId": account.user_id,
        "teamId": None,
        "totalBilledPrice": make_usd(pod.compute_cost(at)),
    }


def describe_key(account: PrimeAccount, key: SshKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "userId": account.user_id,
        "name": key.name,
        "publicKey": key.line,
        "isPrimary": key is next(iter(account.keys.values()), None),
        "isUserKey": True,
        "createdAt": write_time(key.at),
        "updatedAt": write_time(key.at),
    }


def describe_disk(account: PrimeAccount, disk: Disk) -> dict[str, Any]:
    return {
        "id": disk.id,
        "name": disk.name,
        "createdAt": write_time(disk.created_at),
        "updatedAt": write_time(disk.created_at),
        "terminatedAt": write_time(disk.ended_at) if disk.ended_at else None,
        "status": "TERMINATED" if disk.ended_at else "ACTIVE",
        "providerType": disk.cloud.name,
        "size": disk.size,
        "info": {
            "country": disk.cloud.country,
            "dataCenterId": disk.cloud.center,
            "cloudId": None,
            "isMultinode": False,
        },
        "priceHr": make_usd(disk.price),
        "stoppedPriceHr": None,
        "provisioningPriceHr": 0,
        "userId": account.user_id,
        "teamId": None,
        "walletId": account.wallet_id,
        "pods": [pod.id for pod in account.list_pods_on(disk)],
        "clusters": [],
    }


def list_bills(account: PrimeAccount, at: datetime) -> list[dict[str, Any]]:
    """Return a row for each resource that was billed, the one that was billed last first."""
    billed = [one for one in account.resources if one.billed_from is not None]
    rows = [_describe_bill(one, at) for one in billed]
    return sorted(rows, key=lambda row: (row["last_billed_at"], row["id"]), reverse=True)


def _describe_bill(resource: Resource, at: datetime) -> dict[str, Any]:
    last = write_time(resource.ended_at or at)
    return {
        "id": resource.bill_id,
        "created_at": write_time(resource.billed_from or at),
        "updated_at": last,
        "last_billed_at": last,
        "amount_usd": make_usd(resource.compute_cost(at)),
        "currency": "USD",
        "resource_type": resource.kind,
        "resource_id": resource.id,
    }


def describe_wallet(account: PrimeAccount, at: datetime, offset: int, limit: int) -> dict[str, Any]:
    rows = list_bills(account, at)
    return {
        "wallet_id": account.wallet_id,
        "team_id": None,
        "balance_usd": make_usd(account.compute_balance(at)),
        "currency": "USD",
        "total_billings": len(rows),
        "recent_billings": rows[offset : offset + limit],
    }
