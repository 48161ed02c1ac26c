"""CompShare (优云智算) for gpurent: signed forms, a balance in CNY, and machines that are reached by password."""

from gpurent.api import make_translator

_ = make_translator(__name__)
