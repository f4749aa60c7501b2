"""UA and accuracy of the posterior over the data's emotions."""

from __future__ import annotations

from helpers.scoring import metric

from serdesc.captions.fields import Fields
from serdesc.config import ScoringConfig, TargetConfig
from serdesc.data.datadir import Utterance
from serdesc.scoring import score as scoring
from serdesc.scoring.hypotheses import Hypothesis

# reference; emotion of the text and posterior of a model with other emotions
ANSWERS = [
    ("sad", "surprised", {"surprised": 0.8, "sad": 0.15, "angry": 0.05}),
    ("sad", "fearful", {"fearful": 0.6, "angry": 0.3, "sad": 0.1}),
    ("sad", "sad", {"angry": 0.2, "sad": 0.8}),
    ("angry", "surprised", {"surprised": 0.9, "angry": 0.06, "sad": 0.04}),
    ("angry", None, None),
]


def test_the_closed_set_by_hand() -> None:
    """By text only the third is right. By the posterior over angry and sad, the first, third and
    fourth are: recall 2 / 3 and 1 / 2."""
    utterances, hyps = [], {}
    for i, (emotion, said, posterior) in enumerate(ANSWERS):
        utterances.append(Utterance(f"u{i}", "", f"s{i}", labels=Fields(emotion=emotion)))
        hyps[f"u{i}"] = Hypothesis("", Fields(emotion=said), posterior)
    chosen = [metric(name) for name in ("ua", "ua_closed", "wa_closed")]
    config = ScoringConfig(resamples=2)
    table = scoring.rows(utterances, hyps, TargetConfig(), chosen, config).table
    ua, closed, accuracy = [scoring.score(m, table[m.name], config, {}) for m in chosen]
    assert ua.value == round(100 / 6, 4)
    assert closed.value == round(100 * (2 / 3 + 1 / 2) / 2, 4) and closed.chance == 50
    assert accuracy.value == 60 and closed.counts["unread"] == 1 and closed.n == 5
    assert "metric:ua_closed|field:emotion|set:closed" in closed.signature


def test_equal_probabilities_are_the_first_by_the_alphabet() -> None:
    count = metric("ua_closed").posterior
    assert count and count("angry", {"sad": 0.5, "angry": 0.5})["right"] == 1


def test_without_posteriors_there_is_no_score() -> None:
    utterances = [Utterance("u", "", "s", labels=Fields(emotion="sad"))]
    hyps = {"u": Hypothesis("", Fields(emotion="sad"))}
    table = scoring.rows(
        utterances, hyps, TargetConfig(), [metric("ua_closed")], ScoringConfig()
    ).table
    assert table == {"ua_closed": []}
