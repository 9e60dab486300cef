"""The traffic: what Shopify would send, when, and what it would do with the answer.

`traffic` plans, `shopify` writes bodies, headers and signatures, `recorder` keeps the history,
`swarm` starts Locust as a process of its own. Only the locustfile and its users import Locust.
"""
