"""The admin port: HTTP machinery, and the core's own routes.

A request passes `connections` (limits) → `http_protocol` (aiohttp, problem documents for malformed input) → `app` (middleware:
Host, Origin, request id) → `operation` (dispatch: `auth`, `json_text` and `bodies`, `idempotency`) → a handler of `changes`,
`reads`, `events`, `health` or of a feature's `routes`. `problems` and `refusals` make the answers to refused requests,
`attempts` counts wrong credentials, `openapi` describes all routes.
"""
