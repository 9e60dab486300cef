"""orders/create comes after orders/paid: news of the past must not undo the present."""

from scenarios import Scenario, Traffic

scenario = Scenario(
    title="orders/create arrives after orders/paid",
    traffic=Traffic(orders=300, create="after"),
)
