"""GPU servers rented directly on the DeepBrain Chain."""

from gpurent.api import make_translator

_ = make_translator(__name__)
ngettext = _.ngettext
