"""What every order looked like when the ledger was last read, in a hundred bytes an order.

A run of hours has tens of thousands of orders, and all but a few stay as they are from one look to
the next. To tell those few nothing of the rest has to be kept but who they are: the digest of an
order is the sum of the hashes of its rows, modulo 2**64, so that it does not depend on the order in
which rows come.

Limits: two states of one order, or two orders, are taken for one with a probability of 2**-64.
Digests mean something in one process only. An order that is gone keeps its place.
"""

from array import array

from cluster.number_map import MASK, NumberMap

Order = tuple[str, int]
NO_ROWS = 0


class OrderDigests:
    """The digests of the last look that was kept, and of one that is being made beside it."""

    def __init__(self) -> None:
        self._places = NumberMap()  # by the hash of the name
        self._names = bytearray()  # of all orders, place by place, one after the other
        self._ends = array("Q")  # where each of them ends
        self._last = array("Q")
        self._look = array("Q")

    def begin(self) -> None:
        """A new look, without any row so far; one that was not kept is forgotten."""
        self._look = array("Q", bytes(8 * len(self._ends)))

    def add(self, order: Order, row: tuple[object, ...]) -> None:
        """One row of an order: all that tells it from other rows."""
        name = f"{order[0]}:{order[1]}"
        place = self._places.setdefault(hash(name), len(self._ends))
        if place == len(self._ends):
            self._names += name.encode()
            self._ends.append(len(self._names))
            self._look.append(NO_ROWS)
        # Of its repr: to Python -1 and -2 have one hash, and so have True and 1.
        self._look[place] = (self._look[place] + hash(repr(row))) & MASK

    def changed(self) -> set[Order]:
        """The orders that are not as they were, new ones and those that are gone among them."""
        last = self._last + array("Q", bytes(8 * (len(self._look) - len(self._last))))
        pairs = enumerate(zip(last, self._look, strict=True))
        return {self._order(place) for place, (before, now) in pairs if before != now}

    def keep(self) -> None:
        """From now on changes are changes from this look."""
        self._last = self._look

    def _order(self, place: int) -> Order:
        begin = self._ends[place - 1] if place else 0
        shop, _, order_id = self._names[begin : self._ends[place]].decode().rpartition(":")
        return shop, int(order_id)
