"""Several trainings compared: the arms, the test sets, the workers, the statistics, the figures and the page.

Commands call `arms.arms_of` and `compare.compare`.
"""
