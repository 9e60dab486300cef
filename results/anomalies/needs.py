"""What a judge needs to be there, as sentences that say why it is not.

Each of these is None when the need is met. What is *there* can be believed even in a file that has
lost a line; what is *not there* proves something only in a whole one. `first` puts several needs
together: the first reason is enough for a reader.
"""

from results.bundle import Bundle

NO_WITNESS = "no witness recorded what was shipped"
NO_SNAPSHOT = "no snapshot of the ledger was taken"


def witness(bundle: Bundle) -> str | None:
    """The shipments; a damaged file can only hide some, never add any."""
    if not bundle.manifest.has_witness or not bundle.has_witness_file:
        return NO_WITNESS
    return None


def whole_witness(bundle: Bundle) -> str | None:
    """All shipments."""
    if bundle.damaged("witness"):
        return "the witness's file has lost a line, so a missing shipment proves nothing"
    return witness(bundle)


def whole_history(bundle: Bundle) -> str | None:
    """All that was sent, cancellations too: a file without its last record may lack more."""
    if bundle.damaged("history") or len(bundle.generator_ends) < bundle.history_files:
        return "the history was cut short, so nobody knows all that was sent and answered"
    return None


def snapshots(bundle: Bundle) -> str | None:
    """The ledger, whole: its lines hold only changes, so that a lost one makes others wrong."""
    if bundle.damaged("ledger"):
        return "the ledger's file has lost a line, so what it lacks proves nothing"
    return None if bundle.ledger.snapshots else NO_SNAPSHOT


def ended(bundle: Bundle) -> str | None:
    """A run that came to its end: faults healed, retries over, the last look taken."""
    if not bundle.completed:
        return "the run was cut short, so its work may still have been on its way"
    if bundle.manifest.controller_lost:
        return f"a part of the harness was lost: {bundle.manifest.controller_lost}"
    if not bundle.manifest.settled:
        return "the run had not settled, so its work may still have been on its way"
    return None


def whole_trace(bundle: Bundle) -> str | None:
    """All that the database was told."""
    if not bundle.manifest.has_wire or not bundle.statements:
        return "no wire saw what the database was told"
    if bundle.damaged("wire") or bundle.trace_full:
        return "the wire's trace lacks lines, so nobody knows all that the database was told"
    if bundle.manifest.controller_lost:
        return f"a part of the harness was lost: {bundle.manifest.controller_lost}"
    if not any(map(bundle.naming.of_flight, bundle.statements)):
        return "no statement that the wire saw names an order of this traffic"
    return None


def webhook_log(bundle: Bundle) -> str | None:
    """A log whose ids are those of the traffic: one that stores another form of them is blind."""
    if not bundle.declares("webhook_log"):
        return "the service declares no webhook log in its ledger"
    known = bundle.naming.webhooks
    states = (state for found in bundle.ledger.changes.values() for _, state in found)
    if not any(entry in known for state in states for entry in state.webhook_ids):
        return "the webhook log never held an id of this traffic"
    return snapshots(bundle)


def first(*reasons: str | None) -> str | None:
    """The first need that is not met; None when all are."""
    return next((reason for reason in reasons if reason), None)
