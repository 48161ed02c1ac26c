"""The composition root: the only place that connects infrastructure with the use cases.

Each class here adds the parts of one layer; a part is made on first use, and only then is its module imported.
"""
