"""Lint: what the trace of one delivery and its duplicates already shows to be wrong.

`traced` is what is known, `steps` reads it, `rules` lists the rules, and a `finding` is what one of
them says. Pure: data in, findings out; whether a prediction holds is for an exploration to say.
"""
