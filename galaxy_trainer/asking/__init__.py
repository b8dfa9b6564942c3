"""What a trained network says about galaxies: answers, scores, features, and who is like whom.

``predicting`` asks it about a cache and ``evaluation`` scores what it says; `pretrained.Network` asks also about
images, from files or from memory.
"""
