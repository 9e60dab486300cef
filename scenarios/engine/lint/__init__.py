"""`lint`: trace one delivery and its duplicates, and let the rules in `results.lint` read.

`tracing` plays and `facts` asks the catalogue; `confirm` has an exploration say whether what is
predicted happens; `show` shows it.
"""
