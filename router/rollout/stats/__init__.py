"""Counts; makes no decision. Cumulative samples of a slot go in; windows, quantiles and exact confidence bounds come
out.

sample      one slot at one time: counters, gauges, histograms
window      the last N seconds of a slot as the difference of two samples; stalls of this router are left out
histogram   latency buckets: merge, quantile, share above a limit
bounds      exact one-sided bounds of a share (Clopper-Pearson) and of a rate (Poisson)
figures     the numbers that users read: requests, failed, share, cost of a rollback
"""
