"""The wire: a Postgres proxy that holds, cuts, delays and traces, one port per replica.

It needs no change in the service and no knowledge of its language: it sees what every driver must
send. A hold before a COMMIT or before its answer is what turns "kill it some time" into "kill it
exactly there". It runs as a process of its own (`python -m cluster.wire`); `client.Wire` drives
it.
"""
