"""The scales: how much the router costs, how fast it swaps, how soon a fault is over, how much memory it takes.

This house meets the router over HTTP and by starting `python -m router run`; it imports nothing from it.
README.md says what is measured and how, and keeps the last figures.
"""
