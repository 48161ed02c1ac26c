"""For the tests of the whole tree."""

pytest_plugins = ("tests.nightly_only", "tests.spread")
