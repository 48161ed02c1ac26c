"""The composition root: the one place that wires the outside into the use cases.

Each class here adds the parts of one layer; a part is made when it is first used, and only then is its module loaded.
"""
