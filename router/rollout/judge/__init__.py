"""Samples in, verdict out."""
