"""Shared memory of the workers, control and the supervisor. Every byte has a single writer; nothing here waits or locks.

Workers write their counters, captures and holdings; control reads them. Control writes the routes and the slot records;
workers read them. `layout` computes every offset, `segment` maps the memory, the other modules read and write one record each.
"""
