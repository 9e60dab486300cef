"""The kernel kills replicas that get no more memory, in mid-transaction; every webhook comes twice.

Kubernetes calls it OOMKilled. Nothing is closed, flushed or answered, and it strikes in the middle
of the work, for that is what asks for memory. The sender delivers again to somebody else.
"""

from scenarios import InTransaction, Oom, Scenario, Thresholds, Traffic

scenario = Scenario(
    title="The OOM killer ends replicas mid-transaction while every webhook arrives twice",
    traffic=Traffic(orders=500, per_second=25, users=400),
    faults=[
        Oom(at=InTransaction("commit-dropped"), times=4),
        Oom(at=InTransaction("reply-lost"), times=2),
    ],
    stretch_ms=3.0,
    # What uses up the memory uses the CPU of its node, which may be the generator's, too.
    needs=Thresholds(lost_acknowledgements=1, lateness_p99_ms=1_000),
)
