"""The control plane: it samples, judges, publishes routes, journals, and answers operators. The data plane never waits for it.

    main        the process: start, the 100 ms tick, SIGHUP, exit
    wiring      builds the core, the add-ons and the routes of the admin API
    <feature>/  one package a feature, each with `addon.py` (work beside the swap) and `routes.py` (its part of the API):
                acceptance alerts cases drills history incidents notify proposals quality versions
    admin/      HTTP of the admin port: connections, access policy, dispatch, problem documents, and the core's own routes
    views/      reads: status documents, metrics, the catalogue of versions
    core/       from a sample to a swap, and the operator's verbs
    monitors/   alarms, counters and events that are not about one version
    store/      files on disk; the only package with SQL, but for reading at start and for `advise`
    addon       the interface of an add-on
    bulkhead    bounded threads for calls that may hang (DNS, disks)
    loop_calls  calls from a thread to the event loop

Imports point downwards only (import-linter checks it). No feature imports another, but `notify`, which carries links that
`proposals` signs.
"""
