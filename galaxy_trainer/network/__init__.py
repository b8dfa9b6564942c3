"""From a recipe to a ``keras.Model``: layers, networks, augmentation, recipes, and the backend below them.

Neighbours call `networks.paper_network` and `recipes.recipe_of`, wrap a network in `augmentation.Augmented` to turn
its images, and ask ``backend`` for what only one backend can do. `start.silent_start` imports Keras.
"""
