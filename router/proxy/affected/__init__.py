"""Who is affected by what happens to a version: fingerprints of requests and clients, written for the judge.

`Affected` is the writer of one version in one worker, `Fingerprints` hashes, `KnownGood` remembers what was useful. Nothing here
keeps a request or a name of a client: only keyed hashes of them leave the exchange.
"""
