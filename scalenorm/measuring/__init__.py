"""From an image to a `Measurement`: one step of the method to a module.

``measure`` puts the steps together. Neighbours call `as_frame` and `find_galaxy`, or `objects.find_objects` for all
objects of a field, and read the results; options are declared in ``options``.
"""
