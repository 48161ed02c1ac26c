#!/bin/sh
# Tells the provider to stop this machine, then waits for the end.
echo "shutting down"
echo stop > "@BELL@"
exec sleep 86400
