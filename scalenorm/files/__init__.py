"""The floor: files and errors, with nothing of images in it. Imports nothing else of scalenorm.

``errors`` holds every exception of the package; ``reading`` opens paths and URLs; ``writing`` makes files whole or not
at all; ``lock`` and ``output`` decide who may write where; ``names`` turns ids into file names; ``signals`` lets
interruptions wait; ``silence`` hides what others write to stderr.
"""
