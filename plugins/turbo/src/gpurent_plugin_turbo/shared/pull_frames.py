"""The heads of a pull's frames, and what their numbers mean."""

import struct

OTHER, MISSING, UNREADABLE = 4, 5, 6  # kinds of a row besides those of `wire`
PIECE = struct.Struct(">IQQQq")  # number, offset, length, size of the whole, its time
NOW = struct.Struct(">Qq")  # size, time; or the number of an error, 0
EXTENT, EXTENTS = struct.Struct(">QQ"), 65536  # offset, length; at most so many are sent
SPARSE = b"sparse"  # in place of a link: a file with holes
GOOD, CHANGED = 0, 1
