"""How senders prove that a webhook is theirs: one file for each scheme, found by its name.

A scheme signs the raw body with a shared secret, some of them together with the delivery's id or
the time, and says which header carries the proof and which others come with it. Each is checked
against its published test vectors (tests/unit/traffic/test_signatures.py).

Limits: shared secrets only. Schemes with public keys or client certificates are not here.
"""

from importlib import import_module

from loadtests.signatures.scheme import Scheme

SCHEMES = {
    "shopify": "shopify",
    "stripe": "stripe",
    "github": "github",
    "standard-webhooks": "standard_webhooks",
}


def scheme_named(name: str) -> Scheme:
    """The scheme of that name; ValueError with the names that there are."""
    if name not in SCHEMES:
        raise ValueError(f"expected one of {', '.join(SCHEMES)}")
    found: Scheme = import_module(f"loadtests.signatures.{SCHEMES[name]}").SCHEME
    return found
