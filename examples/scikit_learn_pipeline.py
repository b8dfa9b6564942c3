"""Crops as the first step of a scikit-learn pipeline, with its options searched like any other parameter.

Predicts how featured simulated galaxies are (answer Class1.2 of Galaxy Zoo 2) from the pixels of small crops.
"""

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import scalenorm


def to_columns(crops):
    return crops.reshape(len(crops), -1).astype(np.float32) / 255


sample = scalenorm.make_galaxies(300, seed=1, size=212)
answers = sample.answers[:, sample.answer_names.index("Class1.2")]
train, test, train_answers, test_answers = train_test_split(sample.images, answers, test_size=80, random_state=0)

model = make_pipeline(
    scalenorm.ScaleNormalizer(size=16),
    FunctionTransformer(to_columns),
    RidgeCV(np.logspace(0, 4, 9)),
)
search = GridSearchCV(model, {"scalenormalizer__margin": [1.0, 1.5]}, cv=3, scoring="r2")
search.fit(train, train_answers)
for options, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
    print(f"margin {options['scalenormalizer__margin']}: r2 {score:.3f}")
print(f"chosen: {search.best_params_}, r2 on the test set {search.score(test, test_answers):.3f}")
