"""Counting: samples, windows over samples, histograms, exact bounds."""
