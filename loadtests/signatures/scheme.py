"""What a signature scheme is: a header with a proof, and the headers beside it."""

from collections.abc import Callable
from dataclasses import dataclass

from loadtests.traffic import PlannedOrder


@dataclass(frozen=True, slots=True)
class Scheme:
    """One sender's way to sign."""

    header: str  # that carries the signature
    sign: Callable[[str, bytes, str, int], str]  # secret, body, webhook id, seconds since 1970
    headers: Callable[[PlannedOrder, str, str, int], dict[str, str]]  # order, id, topic, seconds
    signs_id: bool = False  # beside the body
    signs_time: bool = False
