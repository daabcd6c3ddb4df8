"""Decides whether the captured requests of a service work in a candidate: case, answer and limits in, results out.

binary_tensors   bodies of JSON and binary tensors
body_fields      the header fields without which a body cannot be read
case             a captured or hand-written request, and the expected answer
comparison       whether an answer passes its case
promotion_check  whether a candidate may be promoted as far as cases decide
redacted_body    applies the redaction to bodies, as far as it can read them
redaction        removes secrets from texts and JSON before they are stored
suite            chooses the cases that are dropped when there are too many
"""
