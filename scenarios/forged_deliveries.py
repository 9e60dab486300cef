"""Beside every second order comes a delivery that nobody authentic sent.

Unsigned, garbled, cut short, signed with another secret, or an honest signature over another body:
each must be refused with a 4xx and change nothing.
"""

from scenarios import Mix, Scenario, Traffic

scenario = Scenario(
    title="Forged deliveries among the honest ones",
    traffic=Traffic(orders=300, mix=Mix(forged=0.5)),
)
