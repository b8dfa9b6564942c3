"""
Training, and looking at mistakes
=================================

A small network is trained on simulated galaxies for some seconds, and the galaxies on which it
errs most are drawn. With a cache of real galaxies and their labels, leave out the simulation.
"""

import csv
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import galaxy_trainer
import scalenorm

# %%
# A cache with labels
# -------------------

folder = Path(tempfile.mkdtemp())
sample = scalenorm.make_galaxies(600, seed=2, size=128)
np.save(folder / "sky.npy", sample.images)
with open(folder / "labels.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["id", *sample.answer_names])
    for number, answers in enumerate(sample.answers.tolist()):
        writer.writerow([f"sky/{number:06d}", *answers])
path = folder / "galaxies.h5"
labels = folder / "labels.csv"
scalenorm.convert(folder / "sky.npy", path, views=["normalized"], labels=labels)
cache = scalenorm.open_cache(path)
len(cache), cache.label_names[:3]

# %%
# Training
# --------
#
# The answers obey the decision tree of Galaxy Zoo 2. A fifth of the galaxies, chosen by the hash
# of their ids, is never trained on.

small = galaxy_trainer.recipe_of("best", {"rotations": 1, "width": 0.1, "epochs": 8, "finish": 0.0})
run = galaxy_trainer.train(path, folder / "run", recipe=small, test_fraction=0.2)
for row in run.history[::2]:
    print(f"epoch {row['epoch']}: loss {row['loss']:.4f}, validation {row['val_loss']:.4f}")

# %%
# How good is it?
# ---------------

scores = run.metrics
network, mean = scores["deterministic"], scores["baselines"]["mean_answer"]
print(f"mean squared error {network['mse']:.4f}; always the mean answer: {mean['mse']:.4f}")

figure, panel = plt.subplots(figsize=(6, 3), layout="constrained")
for answers, style in ((mean, {"color": "lightgray"}), (network, {"height": 0.4})):
    questions = {name: score["mse"] for name, score in answers["questions"].items()}
    panel.barh(list(questions), list(questions.values()), **style)
panel.invert_yaxis()
panel.set_xlabel("mean squared error")
_ = panel.legend(["mean answer", "network"])

# %%
# Where it errs most
# ------------------
#
# ``predict`` gives answers for all galaxies; those that were trained on are left out here.

found = galaxy_trainer.predict(run, path)
tested = [number for number, name in enumerate(cache.ids) if run.parts[name] == "test"]
errors = np.nanmean((found.answers - cache.labels) ** 2, axis=1)[tested]
worst = np.array(tested)[np.argsort(errors)[::-1][:8]]

figure, panels = plt.subplots(2, 4, figsize=(9, 5.2), layout="constrained")
smooth = cache.label_names.index("Class1.1")
for panel, number in zip(panels.flat, worst, strict=True):
    truth, answer = cache.labels[number, smooth], found.answers[number, smooth]
    panel.imshow(cache.view("normalized")[number])
    panel.set_title(f"smooth: {truth:.2f}\npredicted: {answer:.2f}", fontsize=9)
    panel.set_axis_off()
