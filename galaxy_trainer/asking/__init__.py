"""What a trained network says about galaxies: answers, scores, features, and who is like whom.

``evaluation`` asks it about a cache; `pretrained.Network` also about images, from files or from memory.
"""
