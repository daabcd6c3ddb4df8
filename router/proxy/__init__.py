"""The data plane. A request comes in downstream, becomes an exchange, is claimed on a target and relayed upstream.

Counterpart: `control`. The two never meet; between them stands the wall (`shm`): this side counts what happened and reads
the route word, the other side judges and publishes it. Nothing here waits for the judge, the journal or a disk.

Main path: listener → downstream (bytes to head) → exchange (claim, relay, count) → pool → upstream (bytes to head) → back.
"""
