"""SSH to leased machines, with a pinned host key and a key pair for each lease."""

import warnings

# What the library says of the old algorithms of a machine is for its own authors.
warnings.filterwarnings("ignore", category=UserWarning, module=r"asyncssh\.")
