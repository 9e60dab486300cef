"""Judges a run from its columns: what can be seen to be innocent at once is never made a record.

The screen decides, shard by shard, which orders no judge can accuse. Its conditions err on the
side of suspicion; whatever they leave open goes to the plain judges, which alone say what an
anomaly is. Figures over all deliveries (`results/figures.py`) are folded from the columns.

Limits: ids are compared by hashes of 64 bits. Two webhook ids that fall together by chance could
hide a log entry that is another's; the odds are below one in a million for 100 M deliveries.
Attempt ids that fall together send the run to its records instead. Orders that the wire's trace
names are suspects, so a run that is traced throughout gains nothing.
"""
