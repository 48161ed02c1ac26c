"""The contract of a session backend, on machines with real SSH."""

from gpurent.testing.contracts.session import SessionContract

from gpurent_plugin_dtach import DtachBackend


class TestDtach(SessionContract):
    backend_type = DtachBackend
    program = "dtach"
    detach_keys = b"\x1c"
