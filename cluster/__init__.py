"""Where the service runs, and what is done to it there.

`place.Place` is the one interface between the engine and a place; `processes` implements it for
local replicas, `pods` will for Kubernetes. The wire stands between the service and its database,
the witness stands in for the fulfillment provider, and `faults/` holds one fault per file.
"""
