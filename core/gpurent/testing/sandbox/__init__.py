"""A complete simulated environment on this computer: provider simulators, mail, machines, one clock."""
