"""Simulated galaxies whose true centres, axes and answers are known."""
