"""Regression cases: built from the requests that a rolled-back version failed, edited, and run against candidates."""
