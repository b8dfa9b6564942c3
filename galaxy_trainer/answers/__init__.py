"""What a network learns to answer: a tree, values, classes or votes, one class each.

Neighbours take a `choices.Choice` from the user, get a `targets.Target` from it, and ask that for everything that
depends on what is answered.
"""
