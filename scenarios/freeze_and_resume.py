"""A replica freezes inside its transaction, is given up for dead, and wakes up again.

A paused virtual machine or a long garbage collection looks like this. The sender times out and
delivers again to another replica, which waits for the sleeper's locks or passes it by; then the
sleeper goes on with what it believed to be true.
"""

from scenarios import Burst, Freeze, Scenario, Traffic

scenario = Scenario(
    title="A replica freezes mid-transaction and wakes after the sender has given up",
    traffic=Traffic(
        orders=500,
        per_second=40,
        duplicates=Burst(copies=2, ids="distinct"),
        users=600,  # a frozen replica keeps each of its senders for 5 seconds
    ),
    faults=[Freeze(times=2)],
    fault_every_seconds=7.0,  # one after the other: somebody must be left to answer
)
