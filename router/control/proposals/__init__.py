"""Proposals: changes that wait for an operator's approval, and the signed links that approve or deny them."""
