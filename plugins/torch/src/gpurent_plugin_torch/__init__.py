"""PyTorch on several GPUs. torch is imported only when it is used."""

from gpurent.api import make_translator

_ = make_translator(__name__)
ngettext = _.ngettext
