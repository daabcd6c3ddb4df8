"""Generates the parts of the documents that are tables of the code."""
