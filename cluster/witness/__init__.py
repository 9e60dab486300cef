"""The witness: a stand-in for the fulfillment provider that remembers every real shipment.

It runs as its own process with its own file, in another failure domain than the service, and
writes what it did before it says so. It honours idempotency keys or ignores them, and it can be
told to misbehave as providers do: lose its answer, fail after the effect, be slow, be down.
"""
