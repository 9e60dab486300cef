"""What a shipment, or a row that asks for one, can have come from: the delivery before it.

An effect without a cause is phantom, one after forged deliveries alone is unauthenticated, one
after deliveries that were all refused is a ghost: exactly one of the three, so that a service is
accused of what it did and of nothing else. Times are compared in the service's favour: a delivery
counts from the earliest moment at which it can have been on its way.
"""

from enum import Enum, auto

from results.bundle import Bundle
from results.history import OrderKey, begun_ns
from results.records import Delivery, Outcome


class Cause(Enum):
    """The best excuse that an effect has."""

    PAID = auto()  # an authentic orders/paid that was not refused
    OLDER = auto()  # the ledger held the order before there was any traffic
    FORGED = auto()  # forged deliveries only, or beside refused ones
    REFUSED = auto()  # authentic ones, each of which ended as `fail`
    NOTHING = auto()


def cause(bundle: Bundle, key: OrderKey, at_ns: int) -> Cause:
    """What lies behind something that this order had at that time."""
    history = bundle.history
    paid, forged = (
        [one for own in bundle.sharing(key) for one in found.get(own, ()) if begun_ns(one) <= at_ns]
        for found in (history.by_order, history.forged)
    )
    if any(one.outcome is not Outcome.FAIL for one in paid):
        return Cause.PAID
    if key in bundle.older:
        return Cause.OLDER
    if any(arrived(one) for one in forged):
        return Cause.FORGED
    return Cause.REFUSED if paid else Cause.NOTHING


def arrived(delivery: Delivery) -> bool:
    """False when not one byte of it left: what nobody received causes nothing."""
    return delivery.completion is None or delivery.completion.sent_ns is not None
