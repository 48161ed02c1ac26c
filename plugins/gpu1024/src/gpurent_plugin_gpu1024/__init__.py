"""1024GPU for gpurent: leases paid ahead for a term."""

from gpurent.api import make_translator

_ = make_translator(__name__)
