"""Faults of the sandbox's services: what they do to chosen calls, and a record of all calls."""

from gpurent.testing.sandbox.service_faults.active_faults import ActiveFault, ServiceCall, ServiceFaults
from gpurent.testing.sandbox.service_faults.fault import ServiceFault

__all__ = ["ActiveFault", "ServiceCall", "ServiceFault", "ServiceFaults"]
