"""Judges a run from its columns: what can be seen to be innocent at once is never made a record.

The screen decides, shard by shard, which orders no judge can accuse. Its conditions err on the
side of suspicion; whatever they leave open goes to the plain judges, which alone say what an
anomaly is. Figures over all deliveries (`results/figures.py`) are folded from the columns.
"""
