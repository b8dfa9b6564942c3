"""`ScaleNormalizer` for rows of a table, for which scikit-learn's checks are written; imports scikit-learn."""

from sklearn.utils.validation import validate_data

from scalenorm import ScaleNormalizer


class Rows(ScaleNormalizer):
    """Takes images of one column as rows of a table."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = True, False
        return tags

    def fit(self, X, y=None):
        X = validate_data(self, X, ensure_all_finite=False, dtype="numeric")
        return super().fit(X[:, :, None])

    def transform(self, X):
        X = validate_data(self, X, ensure_all_finite=False, dtype="numeric", reset=not hasattr(self, "n_features_in_"))
        return super().transform(X[:, :, None]).reshape(len(X), -1)
