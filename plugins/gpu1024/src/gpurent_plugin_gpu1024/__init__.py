"""1024GPU for gpurent: leases prepaid for a term."""

from gpurent.api import make_translator

_ = make_translator(__name__)
ngettext = _.ngettext
