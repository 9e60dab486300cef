"""One signed order, as bytes: what the benchmark has all generators send."""

from loadtests.dialect import PAID, Dialect
from loadtests.traffic import plan_orders

PATH = "/webhooks/orders/paid"
SEED = 1


def sample() -> tuple[bytes, dict[str, str]]:
    """A body, and all headers but those of HTTP itself."""
    order = next(plan_orders(seed=SEED, orders=1, per_second=1.0, copies=1, distinct_ids=True))
    dialect = Dialect.read("shopify", {})
    (content,) = dialect.bodies(order)
    webhook = order.webhooks[0]
    return content, dialect.headers(order, webhook.webhook_id, PAID, "of the benchmark", content)
