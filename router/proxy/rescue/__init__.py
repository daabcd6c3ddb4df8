"""A request that failed on one version and is tried on another: how many may be (`RescueBudget`), what such a try shows about
both versions (`Rescue`), and the answer that the client gets if it is in vain (`HeldAnswer`). engine/failover.py decides
where a failed request continues.
"""
