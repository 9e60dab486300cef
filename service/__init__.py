"""The system under test: a small webhook consumer that ships paid Shopify orders.

It stands for the services of strangers, so it knows nothing of the harness that fires at it,
kills it and judges it: it imports none of the harness' packages, and the harness describes it to
itself through `onceproof.toml` only. Read it in this order: `webhook.py` (what is let in),
`strategies/` (one file for each way to handle a paid order, good ones and bad ones), `steps.py`
(the SQL that they share) and `schema.sql`, `pool.py` (their connections), `orders.py` (created and
cancelled orders), `relay.py` and `relays/` (ship what the strategies recorded), `deliveries.py`
(from bytes to an answer), `app.py` and `fast_lane.py` (the HTTP around it, one or the other).
"""
