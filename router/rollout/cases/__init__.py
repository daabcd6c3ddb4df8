"""Decides whether the captured requests of a service work in a candidate: case, answer and limits in, results out.

case             a captured or hand-written request, and the expected answer
comparison       whether an answer passes its case
promotion_check  whether a candidate may be promoted as far as cases decide
redaction        removes secrets from a captured request before it is stored
suite            chooses the cases that are dropped when there are too many
"""
