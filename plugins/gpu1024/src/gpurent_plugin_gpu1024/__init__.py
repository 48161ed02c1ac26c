"""1024GPU for gpurent: leases paid ahead for a term."""

from gpurent.api import translator

_ = translator(__name__)
