"""The floor: errors, and files that are there whole or not at all. Imports nothing else of galaxy_trainer.

Everybody raises `errors.TrainerError`; ``writing`` also checks, before hours of work, that a file can be written.
"""
