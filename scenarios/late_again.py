"""Half of the webhooks come once more after their 2xx, and a fifth of the orders is paid again.

A sender that lost an answer delivers again under the same id; a capture or an edit makes a new
event of the same order under a new id. Neither may ship anything more.
"""

from scenarios import Mix, Scenario, Traffic

scenario = Scenario(
    title="Webhooks are delivered again and orders are paid again, later",
    traffic=Traffic(orders=300, mix=Mix(again=0.5, repaid=0.2)),
)
