"""The heads of a pull's frames, and what their numbers mean. Travels to the machine as source."""

import struct

OTHER, MISSING, UNREADABLE = 4, 5, 6  # kinds of a row besides those of `wire`
PIECE = struct.Struct(">IQQQq")  # number, offset, length, size of the whole, its time
FILE_STATE = struct.Struct(">Qq")  # size, time; or the number of an error, 0
EXTENT, MAX_EXTENTS = struct.Struct(">QQ"), 65536  # offset, length; at most so many are sent
SPARSE = b"sparse"  # in place of a link: a file with holes
UNCHANGED, CHANGED = 0, 1
