"""What a service is sent: a body for each topic, signed by one scheme.

Without a template the body is Shopify's order. A template is a text file of the user's, as the
service's own sender would make it, with the parts of an order filled in (Jinja: `{{ order_id }}`,
`{% for line in lines %}`). It is tried once before anything is sent: an unknown name or a .json
that is none is told with its file and line, not found in the service's refusals.

Where a template has `webhook_id` in it, each delivery has a body of its own, as at Stripe, whose
duplicates differ in the event's id alone. A retry repeats its webhook's bytes.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

from loadtests import shopify
from loadtests.signatures import scheme_named
from loadtests.signatures.scheme import Scheme
from loadtests.traffic import PlannedOrder, plan_orders

PAID, CREATE, CANCELLED = "orders/paid", "orders/create", "orders/cancelled"
TEMPLATE_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Dialect:
    """A scheme, and the templates of those topics that have one."""

    scheme: Scheme
    templates: Mapping[str, Template] = field(default_factory=dict)
    began_seconds: int = field(default_factory=lambda: int(time.time()))
    _last: list[Any] = field(default_factory=list, compare=False, repr=False)  # signed, signature

    @classmethod
    def read(cls, signature: str, payloads: Mapping[str, Path]) -> "Dialect":
        """From a scheme's name and the templates' files by topic; ValueError says what is wrong."""
        dialect = cls(
            scheme_named(signature), {topic: read(file) for topic, file in payloads.items()}
        )
        sample = next(plan_orders(seed=1, orders=1, per_second=1.0, copies=1, distinct_ids=True))
        for topic, file in payloads.items():
            try:
                text = dialect.body(sample, topic, sample.webhooks[0].webhook_id)
                if file.suffix == ".json":
                    json.loads(text)
            except TemplateError as error:
                raise ValueError(f"{file}: {error}. It knows {', '.join(names(sample))}") from None
            except ValueError as error:
                raise ValueError(f"{file}: filled in, it is no JSON: {error}") from None
        return dialect

    def body(self, order: PlannedOrder, topic: str, webhook_id: str) -> bytes:
        """The bytes of one webhook."""
        template = self.templates.get(topic)
        if template is None:
            return shopify.body(order, topic)
        values = parts(order) | {"webhook_id": webhook_id, "created_seconds": self.began_seconds}
        return template.render(values).encode()

    def bodies(self, order: PlannedOrder) -> list[bytes]:
        """The bytes of each webhook of an order's burst."""
        if PAID not in self.templates:
            return [shopify.body(order)] * len(order.webhooks)
        return [self.body(order, PAID, webhook.webhook_id) for webhook in order.webhooks]

    def headers(
        self, order: PlannedOrder, webhook_id: str, topic: str, secret: str, content: bytes
    ) -> dict[str, str]:
        """All headers of a delivery that leaves now."""
        at_seconds = int(time.time())
        signature = self._signature(secret, content, webhook_id, at_seconds)
        named = self.scheme.headers(order, webhook_id, topic, at_seconds)
        return named | {self.scheme.header: signature}

    def _signature(self, secret: str, content: bytes, webhook_id: str, at_seconds: int) -> str:
        """Copies of one body, released together, are signed once if nothing else is signed."""
        signed = (
            secret,
            content,
            webhook_id if self.scheme.signs_id else "",
            at_seconds if self.scheme.signs_time else 0,
        )
        if not self._last or self._last[0] != signed:
            self._last[:] = [signed, self.scheme.sign(secret, content, webhook_id, at_seconds)]
        signature: str = self._last[1]
        return signature


def parts(order: PlannedOrder) -> dict[str, object]:
    """What a template may say of an order."""
    cents = shopify.PRICE_CENTS * sum(line.quantity for line in order.lines)
    return {
        "order_id": order.order_id,
        "event_id": order.event_id,
        "shop": order.shop,
        "amount": shopify.money(cents),
        "amount_cents": cents,
        "lines": [{"sku": line.sku, "quantity": line.quantity} for line in order.lines],
    }


def names(order: PlannedOrder) -> list[str]:
    """The names that a template may use."""
    return [*parts(order), "webhook_id", "created_seconds"]


def read(file: Path) -> Template:
    """A template; ValueError for a file that cannot be read or is none."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: cannot be read ({error})") from None
    if len(text) > TEMPLATE_MAX_BYTES:
        raise ValueError(f"{file}: longer than {TEMPLATE_MAX_BYTES >> 20} MiB")
    environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    try:
        return environment.from_string(text)
    except TemplateSyntaxError as error:
        raise ValueError(f"{file}: line {error.lineno}: {error.message}") from None
