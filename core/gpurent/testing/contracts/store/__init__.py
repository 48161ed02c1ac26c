"""Contract tests for the Store, one module for each group of its ports.

A form of the Store is tested by subclasses that implement the factory methods of `StoreContract`::

    class TestSqliteTrips(SqliteForm, TripContract):
        pass
"""
