"""Caption metrics equal those of the COCO tools and sacreBLEU."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Callable

import pytest
from helpers.scoring import scored

from serdesc.data.corpora import secap600
from serdesc.data.datadir import Utterance
from serdesc.files import read_jsonl

needs_java = pytest.mark.skipif(
    shutil.which("java") is None, reason="no Java: METEOR, SPICE and PTB tokens cannot be had"
)


pytestmark = pytest.mark.java


WORDS = (
    "a woman man with low high pitch moderate volume speaks slowly her sadness evident in the voice"
    " fast happy tone (really) it's".split()
)


def perturbed(text: list[str], rng: random.Random) -> list[str]:
    return [
        word if rng.random() < 0.8 else rng.choice(text) for word in text if rng.random() < 0.9
    ] or text[:1]


def english(n: int) -> tuple[list[str], list[str]]:
    rng = random.Random(0)
    refs = [rng.choices(WORDS, k=rng.randint(3, 16)) for _ in range(n)]
    hyps = [perturbed(ref, rng) for ref in refs]
    said = [" ".join(words) + "." for words in hyps]
    said[0], said[1] = "A woman, \"who\" speaks; it's 5 o'clock (really) - 50 %!", ""
    return said, [" ".join(words).capitalize() + "." for words in refs]


def coco(hyps: list[str], refs: list[str]) -> dict[str, float]:
    """pycocoevalcap's own B@4, ROUGE-L and CIDEr of tokenised captions."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    theirs = ({i: [ref] for i, ref in enumerate(refs)}, {i: [hyp] for i, hyp in enumerate(hyps)})
    bleu = Bleu(4).compute_score(*theirs, verbose=0)[0][3]
    return {
        "bleu4": 100 * bleu,
        "rouge_l": 100 * Rouge().compute_score(*theirs)[0],
        "cider": 100 * Cider().compute_score(*theirs)[0],
    }


@needs_java
def test_english_equals_pycocoevalcap_and_sacrebleu(tmp_path: Path) -> None:
    import sacrebleu
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    hyps, refs = english(80)
    ours = scored(tmp_path, hyps, refs, "scoring.caption_text=full", "scoring.spice_jars=/none")
    tokenizer = PTBTokenizer()
    h, r = (
        tokenizer.tokenize({i: [{"caption": text}] for i, text in enumerate(side)})
        for side in (hyps, refs)
    )
    tokens = [row["tokens"] for row in read_jsonl(tmp_path / "rows.jsonl")]
    assert [t["hyp"] for t in tokens] == [h[i][0] for i in range(80)] and [
        t["ref"] for t in tokens
    ] == [r[i][0] for i in range(80)]
    for name, value in coco([h[i][0] for i in range(80)], [r[i][0] for i in range(80)]).items():
        assert ours[name]["value"] == pytest.approx(value, abs=6e-5), name
    corpus, sentences = Meteor().compute_score(r, h)
    assert ours["meteor"]["value"] == pytest.approx(100 * corpus, abs=6e-5)
    assert ours["meteor_mean"]["value"] == pytest.approx(100 * sum(sentences) / 80, abs=6e-5)
    assert ours["sacrebleu"]["value"] == pytest.approx(
        sacrebleu.corpus_bleu(hyps, [refs], lowercase=True).score, abs=6e-5
    )
    assert ours["spice"]["value"] is None and "tools/get_spice.sh" in ours["spice"]["note"]
    assert (
        "caption_text:full|language:en|tokens:ptb|punctuation:removed" in ours["bleu4"]["signature"]
    )


@needs_java
def test_mandarin_equals_pycocoevalcap_on_the_same_tokens(
    tmp_path: Path, real_data: Callable[[str], Path]
) -> None:
    """The references of secap600 against perturbed ones; characters, no punctuation."""
    rng = random.Random(1)
    refs = [
        utt.caption or ""
        for utt in secap600.utterances(real_data("emosec600"))
        if isinstance(utt, Utterance)
    ]
    hyps = ["".join(perturbed(list(ref), rng)) for ref in refs]
    ours = scored(tmp_path, hyps, refs, "scoring.language=zh")
    tokens = [row["tokens"] for row in read_jsonl(tmp_path / "rows.jsonl")]
    assert all(t["ref"] == " ".join(c for c in ref if c.isalnum()) for t, ref in zip(tokens, refs))
    for name, value in coco([t["hyp"] for t in tokens], [t["ref"] for t in tokens]).items():
        assert ours[name]["value"] == pytest.approx(value, abs=6e-5), name
    for name in ("meteor", "spice"):
        assert ours[name]["value"] is None and "supports English only" in ours[name]["note"]
