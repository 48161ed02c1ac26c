"""The heads of a push's frames, and what their numbers mean. Travels to the machine as source."""

import struct

MANIFEST = struct.Struct(">IQ")  # number, bytes that travel without being asked for
HAVE, NEED, BASE = 0, 1, 2  # it is there; it is not; something is that it may be built on
SEGMENT = struct.Struct(">33sQQ")  # partial, offset, size of the whole file
COMMIT = struct.Struct(">33sHQqB")  # partial, mode, size, time, kind of digest (0: none)
ACK = struct.Struct(">IB")  # number, what became of it
DONE, BAD_DIGEST, NO_LIBRARY = 0, 1, 2
