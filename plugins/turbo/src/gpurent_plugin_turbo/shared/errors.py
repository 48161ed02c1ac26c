"""What can go wrong between two sides that talk in frames. Travels as source, like `wire`."""


class Broken(Exception):
    """The other side said what it may not say."""


class Ended(Exception):
    """The line ended, in the middle of a frame or between two."""
