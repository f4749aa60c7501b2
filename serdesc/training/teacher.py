"""The teacher of training.pretrain: logistic regressions of a frozen encoder's layers.

Not in the paper. B and N utterances, C classes, L layers, T frames, D encoder width.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

GROUPS = 5  # of speakers that are left out in turn
FACTORS = (-1.0, 3.0)  # natural logarithms of the least and the greatest


def mean_of_layers(x: Tensor) -> Tensor:
    """The mean over time of the normalised layers, one after the other (L * D); x (L, T, D)."""
    return functional.layer_norm(x.float(), x.shape[-1:]).mean(1).flatten()


class Teacher:
    """Probabilities of the classes of a field from an encoder's layers: logistic regression, as
    sure of itself as suits speakers that it was not fitted to.

    A strong L2 penalty makes its probabilities much alike, from which little can be learnt. Their
    logarithms are therefore multiplied by a factor (an inverse temperature, Guo et al. 2017,
    https://arxiv.org/abs/1706.04599): that for which regressions of some speakers give the labels
    of the others the highest likelihood.
    """

    def __init__(
        self, means: Tensor, labels: Sequence[str], speakers: Sequence[str], c: float
    ) -> None:
        """means (N, L * D): mean_of_layers of each utterance. c: the inverse weight of L2."""
        from sklearn.linear_model import LogisticRegression

        self.mean, self.deviation = means.mean(0), means.std(0) + 1e-6
        self.model = LogisticRegression(C=c, max_iter=400, class_weight="balanced")
        x, y = self._standardised(means), np.array(labels)
        self.factor = self._find_factor(x, y, speakers)
        self.model.fit(x, y)
        self.classes = [str(name) for name in self.model.classes_]

    def __call__(self, means: Tensor) -> Tensor:
        """Probabilities (B, C) of means (B, L * D)."""
        log_probs = self.model.predict_log_proba(self._standardised(means))
        return (self.factor * torch.tensor(log_probs)).softmax(-1).float()

    def _find_factor(self, x: np.ndarray, y: np.ndarray, speakers: Sequence[str]) -> float:
        """By groups of speakers that are left out in turn; 1 if no group can be."""
        from scipy.optimize import minimize_scalar
        from sklearn.model_selection import GroupKFold

        found, places = [], []
        classes, groups = np.unique(y), min(GROUPS, len(set(speakers)))
        for fitted, left in GroupKFold(groups).split(x, y, speakers) if groups > 1 else ():
            if len(set(y[fitted])) == len(classes):
                self.model.fit(x[fitted], y[fitted])
                found.append(torch.tensor(self.model.predict_log_proba(x[left])))
                places.append(torch.tensor(np.searchsorted(classes, y[left])))
        if not found:
            return 1.0
        log_probs, wanted = torch.cat(found), torch.cat(places)

        def loss(exponent: float) -> float:
            return float(functional.cross_entropy(np.exp(exponent) * log_probs, wanted))

        return float(np.exp(minimize_scalar(loss, bounds=FACTORS, method="bounded").x))

    def _standardised(self, means: Tensor) -> np.ndarray:
        standardised: np.ndarray = ((means - self.mean) / self.deviation).numpy()
        return standardised
