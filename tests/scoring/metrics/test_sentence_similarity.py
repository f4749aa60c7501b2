"""Semantic similarity by a sentence encoder, with a tiny one made here."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.cli import serdesc
from helpers.scoring import scored

from serdesc.config import ScoringConfig
from serdesc.scoring import captions, java, metrics
from serdesc.scoring import score as scoring
from serdesc.scoring.metrics import sentence_similarity

WORDS = "a the woman man sad glad speaks shouts is he she . voice low high".split()
HYPS = ["a sad woman speaks.", "", "a man shouts."]
REFS = [["a sad woman speaks.", "the man is glad."], ["she is sad."], ["he speaks."]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer with random weights and mean pooling."""
    transformers = pytest.importorskip("transformers")
    library = pytest.importorskip("sentence_transformers")
    import torch
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    bert = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    transformers.BertModel(bert).save_pretrained(folder / "bert")
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder / "bert")
    word = Transformer(str(folder / "bert"))
    model = library.SentenceTransformer(modules=[word, Pooling(16, "mean")], device="cpu")
    model.save(str(folder / "model"))
    return folder / "model"


def embedded(folder: Path, text: str) -> np.ndarray:
    """The mean of BERT's last hidden states, by transformers alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    given = AutoTokenizer.from_pretrained(folder)([text], return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder).eval()(**given).last_hidden_state[0]
    vector = states.mean(dim=0).numpy().astype(np.float64)
    return vector / np.linalg.norm(vector)


def test_it_is_the_mean_cosine_over_the_references(tiny: Path) -> None:
    config = ScoringConfig(sentence_encoder=str(tiny))
    (metric,) = metrics.chosen("sentence_similarity")
    assert metric.captions is not None
    rows = metric.captions(captions.Captions(HYPS, REFS, config))
    cosines = [embedded(tiny, HYPS[0]) @ embedded(tiny, ref) for ref in REFS[0]]
    assert cosines[0] == pytest.approx(1) and cosines[1] < 0.99
    last = embedded(tiny, HYPS[2]) @ embedded(tiny, REFS[2][0])
    wanted = [np.mean(cosines), 0.0, last]  # an empty answer has no meaning
    assert [row["sum"] for row in rows] == pytest.approx(wanted, abs=1e-5)
    assert metric.value(scoring.total(rows)) == pytest.approx(100 * np.mean(wanted), abs=1e-3)


@pytest.mark.java
def test_the_key_asks_for_it_and_the_signature_has_its_weights(tiny: Path, tmp_path: Path) -> None:
    refs = [refs[0] for refs in REFS]
    ours = scored(tmp_path, HYPS, refs, f"scoring.sentence_encoder={tiny}")["sentence_similarity"]
    assert ours["value"] is not None and "|encoder:model|weights:" in ours["signature"]
    assert str(tiny) not in ours["signature"]
    weights = ours["signature"].partition("|weights:")[2][:8]
    assert weights == sentence_similarity._weights(str(tiny)) and int(weights, 16) > 0
    assert "sentence_similarity" not in scored(tmp_path, HYPS, refs), "nothing is loaded"
    code, text = serdesc(
        "score", tmp_path / "data", "--hyp", tmp_path / "hyp.jsonl", "--metric",
        "sentence_similarity",
    )  # fmt: skip
    assert code == 0 and "scoring.sentence_encoder is empty: set it" in text


def test_a_missing_model_or_package_costs_this_metric_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ScoringConfig(sentence_encoder=str(tmp_path))
    with pytest.raises(java.NotComputed, match="no such model of sentence-transformers"):
        sentence_similarity.METRICS[0].captions(captions.Captions(["a"], [["a"]], config))
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    config = ScoringConfig(sentence_encoder="other")
    with pytest.raises(java.NotComputed, match=r'pip install "serdesc\[similarity\]"'):
        sentence_similarity.METRICS[0].captions(captions.Captions(["a"], [["a"]], config))
    assert sentence_similarity.METRICS[0].signs(config)["weights"] == "none"
