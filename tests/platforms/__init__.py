"""What every system's implementation of core's platform has to do: run here, under a fake Windows and under Wine."""
