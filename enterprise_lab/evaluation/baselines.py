"""What any model of texts has to beat: the most frequent class, and words counted.

TF-IDF with logistic regression is the baseline to take seriously (Wang and Manning, "Baselines and
bigrams", 2012): it is given the same texts, its one setting that matters is chosen for them, and it
takes seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from enterprise_lab.errors import InvalidValueError, require_whole
from enterprise_lab.evaluation.metrics import Labels, macro_f1, whole_from_zero

_WEAKNESSES = (1.0, 10.0, 100.0)
"""Of the penalty on weights, scikit-learn's C, which is chosen among these."""
_FOLDS = 3
_MOST_TEXTS, _MOST_CLASSES = 10**9, 100_000


def majority(train_labels: Labels, n: int) -> npt.NDArray[np.int64]:
    """Guess the most frequent class of the training for each of n texts; of equals the first.

    Raises InvalidValueError for no labels, and for n below 1.
    """
    require_whole("n", n, _MOST_TEXTS)
    return np.full(n, np.bincount(whole_from_zero("labels", train_labels)).argmax())


@dataclass(frozen=True)
class FittedTfIdf:
    """Logistic regression on TF-IDF that was fitted, with the C it was fitted with."""

    vectorizer: Any
    regression: Any
    classes: int
    training_texts: int

    @property
    def chosen_c(self) -> float:
        """The inverse of the penalty's strength that the folds chose."""
        return float(self.regression.C)

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the probability of each class, shaped (texts, classes).

        A class that no training text had gets what Laplace's rule of succession leaves it, 1 in the
        training's texts and classes together; the others share the rest.
        """
        rows = self.vectorizer.transform(texts)
        known = self.regression.predict_proba(rows).astype(np.float64)
        unseen = 1 / (self.training_texts + self.classes)
        its = np.full((len(texts), self.classes), unseen)
        left = 1 - unseen * (self.classes - known.shape[1])
        its[:, self.regression.classes_] = left * known / known.sum(axis=1, keepdims=True)
        return its

    def logits(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return logarithms of the probabilities, whose softmax these are: (texts, classes)."""
        return np.log(np.maximum(self.probabilities(texts), np.finfo(np.float64).tiny))


@dataclass(frozen=True)
class TfIdf:
    """Logistic regression on the TF-IDF of words and pairs of words, classes weighed alike.

    Counts are taken as 1 + log(count), which holds a word back that is repeated; words of one text
    only are left out. C is chosen among 1, 10 and 100 by the macro-F1 of three folds of the texts
    to learn from, which split no group: with near-copies in two folds too weak a penalty
    would win.
    """

    seed: int = 0

    def fit(
        self, texts: Sequence[str], labels: Labels, *, groups: Sequence[str], classes: int
    ) -> FittedTfIdf:
        """Choose C and fit with it on all the texts.

        Labels are from 0 to below `classes`, groups name what must not be split. Raises
        InvalidValueError where these don't go together, and for texts that are all of one class or
        have no word twice.
        """
        true = whole_from_zero("labels", labels)
        require_whole("classes", classes, _MOST_CLASSES, 1 + int(true.max()))
        if not len(texts) == len(true) == len(groups):
            raise InvalidValueError(
                f"There are {len(texts):,} texts, {len(true):,} labels and {len(groups):,} groups.",
                "Give a label and a group for each text, in the same order.",
            )
        if true.min() == true.max():
            raise InvalidValueError(
                "All texts to learn from are of one class.", "Give texts of two classes or more."
            )
        words = np.array(texts, dtype=object)
        vectorizer, rows = _vectors(words)
        c = self._chosen(words, true, groups)
        return FittedTfIdf(vectorizer, _regression(c, rows, true), classes, len(texts))

    def _chosen(
        self, texts: npt.NDArray[np.object_], labels: npt.NDArray[np.int64], groups: Sequence[str]
    ) -> float:
        from sklearn.model_selection import GroupKFold

        folds = min(_FOLDS, len(set(groups)))
        if folds < 2:
            return _WEAKNESSES[0]
        guesses = np.empty((len(_WEAKNESSES), len(labels)), np.int64)
        parts = GroupKFold(folds, shuffle=True, random_state=self.seed)
        for train, held_out in parts.split(texts, labels, groups):
            guesses[:, held_out] = _guesses(texts[train], labels[train], texts[held_out])
        best = np.argmax([macro_f1(labels, its) for its in guesses])
        return _WEAKNESSES[int(best)]


def _guesses(
    texts: npt.NDArray[np.object_], labels: npt.NDArray[np.int64], others: npt.NDArray[np.object_]
) -> npt.NDArray[np.int64]:
    """Guess other texts' classes with each C, shaped (Cs, others)."""
    if labels.min() == labels.max():
        return np.full((len(_WEAKNESSES), len(others)), labels[0])
    vectorizer, rows = _vectors(texts)
    there = vectorizer.transform(others)
    return np.stack([_regression(c, rows, labels).predict(there) for c in _WEAKNESSES])


def _vectors(texts: npt.NDArray[np.object_]) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, dtype=np.float32)
    try:
        return vectorizer, vectorizer.fit_transform(texts)
    except ValueError as error:
        raise InvalidValueError(
            f"The texts to learn from can't be counted: {error}.",
            "Give more texts, with words in common.",
        ) from error


def _regression(c: float, rows: Any, labels: npt.NDArray[np.int64]) -> Any:
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # With few texts a class scikit-learn asks whether the labels are quantities.
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")
        return LogisticRegression(C=c, class_weight="balanced", max_iter=1000).fit(rows, labels)
