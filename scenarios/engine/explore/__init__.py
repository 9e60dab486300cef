"""Every interleaving of a few deliveries and every crash point, on the user's own processes.

A delivery's work is a row of *steps*: what it tells Postgres, flight by flight, and what it asks of
the provider. Each step stops at a gate (the wire's, or the witness's); one at a time is let go.
`tree` decides which, and so walks through all orders there are; `stage` carries it out and waits
until everybody stands still again, proved, not guessed; the same judges as everywhere say what came
of it. `exploration` is the main path.
"""
