"""What was sent, what happened, and whether the two agree.

This folder is pure: it reads and writes files and imports no network, no cluster and no service.
Every other folder hands its findings over as one of the records in `results.records`.
"""
