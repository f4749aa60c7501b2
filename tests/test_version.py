"""The package version identifies the scoring code: golden scores of a small fixed set belong to one
version.

A change that alters a score fails here until `serdesc.__version__` is increased and the new scores
are recorded with

    tools/venv/bin/python tests/test_version.py

which needs Java and SPICE's jars (SERDESC_SPICE), and writes tests/golden/scores-<version>.json. A
recorded file is never overwritten.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pkgutil
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serdesc import __version__
from serdesc.captions.fields import Fields
from serdesc.config import ScoringConfig, TargetConfig
from serdesc.data.datadir import Utterance
from serdesc.scoring import hypotheses, metrics
from serdesc.scoring import score as scoring
from serdesc.scoring.metric import Metric

GOLDEN = Path(__file__).with_name("golden") / f"scores-{__version__}.json"
NEXT_STEP = (
    "A score has changed. If that is intended: increase __version__ in serdesc/__init__.py, record"
    " the new scores with `tools/venv/bin/python tests/test_version.py`, commit the new file in"
    " tests/golden, and name the change in CHANGELOG.md. If it is not intended: correct the scoring"
    " code; scores of one version must be comparable"
)

# Reference fields, reference caption, response; fields and posterior that stand beside the response
# in hyp.jsonl.
Case = tuple[Fields, str, str, dict[str, Any]]
ENGLISH: list[Case] = [
    (
        Fields(
            "I never said that, okay?",
            "angry",
            "high",
            "high",
            "fast",
            "young adult",
            "male",
            ("never",),
            (("intonation", "rising"), ("melody", "lively")),
        ),
        (
            'A young man with a high voice speaks loudly and fast. He stresses "never" and says "I'
            ' never said that, okay?". He is angry.'
        ),
        (
            'A young man with a high voice speaks quickly and loudly, stressing "never". He says "I'
            ' never said that okay" and sounds angry.'
        ),
        {
            "posterior": {"angry": 0.7, "happy": 0.1, "neutral": 0.1, "sad": 0.1},
            "intonation": "rising",
            "melody": "lively",
        },
    ),
    (
        Fields(
            "We lost 27 of them.",
            "sad",
            "low",
            "low",
            "slow",
            "elderly",
            "female",
            ("lost",),
            (("intonation", "falling"), ("melody", "monotonous")),
        ),
        (
            'An elderly woman with a low voice speaks softly and slowly. She says "We lost 27 of'
            ' them." She is sad.'
        ),
        (
            'A middle-aged woman speaks slowly with low energy and a low voice, stressing "them".'
            ' She says "we lost twenty seven of it". She is sad.'
        ),
        {
            "posterior": {"angry": 0.05, "happy": 0.05, "neutral": 0.5, "sad": 0.4},
            "emotion": "neutral",
            "intonation": "varied",
            "melody": "plain",
        },
    ),
    (
        Fields(
            "See you tomorrow",
            "happy",
            "high",
            "normal",
            "normal",
            "child",
            "female",
            ("tomorrow",),
            (("intonation", "rising"), ("melody", "lively")),
        ),
        (
            'A girl speaks with a high voice, at normal volume and pace. She says "See you'
            ' tomorrow". The speaker is happy.'
        ),
        (
            'A happy girl with a high voice says "see you tomorrow" at a normal pace and volume.'
            ' She stresses "you tomorrow".'
        ),
        {
            "posterior": {"angry": 0.0, "happy": 1.0, "neutral": 0.0, "sad": 0.0},
            "intonation": "rising",
            "melody": "lively",
        },
    ),
    (
        Fields(
            "It is on the table.",
            "neutral",
            "normal",
            "normal",
            "normal",
            "middle-aged",
            "male",
            None,
            (("intonation", "flat"), ("melody", "plain")),
        ),
        (
            'A middle-aged man speaks at normal pitch, volume and pace. He says "It is on the'
            ' table." He sounds neutral.'
        ),
        "",
        {},
    ),
    (
        Fields(
            "Leave me alone, please.",
            "angry",
            "normal",
            "high",
            "fast",
            "teenager",
            "female",
            ("alone",),
            (("intonation", "flat"), ("melody", "plain")),
        ),
        'A teenage girl speaks loudly and fast. She says "Leave me alone, please." She is angry.',
        'A teenage girl speaks loudly and fast. She says "Leave me alone, please." She is angry.',
        {
            "posterior": {"angry": 0.3, "happy": 0.2, "neutral": 0.3, "sad": 0.2},
            "emphasis": ["alone"],
            "intonation": "varied",
            "melody": "plain",
        },
    ),
    (
        Fields(
            "Well, uh, I don't know.",
            "neutral",
            "low",
            "low",
            "slow",
            "elderly",
            "male",
            ("know",),
            (("intonation", "falling"), ("melody", "monotonous")),
        ),
        (
            "An old man speaks quietly and slowly in a low voice. He says \"Well, uh, I don't"
            ' know." He is calm and neutral.'
        ),
        (
            'An old man speaks slowly in a deep, quiet voice. He says "well I do not know it". He'
            " sounds sad."
        ),
        {
            "posterior": {"angry": 0.1, "happy": 0.1, "neutral": 0.2, "sad": 0.6},
            "intonation": "falling",
            "melody": "monotonous",
        },
    ),
]
MANDARIN: list[Case] = [
    (
        Fields(),
        "一位年轻女性用高昂的声音快速说话，语气非常愤怒。",
        "一位年轻女性声音高昂，语速很快，语气愤怒。",
        {},
    ),
    (
        Fields(),
        "男性说话缓慢，声音低沉，听起来很悲伤。",
        "男性缓慢地说话，声音低沉，情绪悲伤。",
        {},
    ),
    (Fields(), "她用欢快的语调说OK，音量正常。", "她的语调欢快，用正常音量说 ok。", {}),
    (Fields(), "说话人语速正常，情绪平静。", "说话人情绪平静，语速正常。", {}),
]
SEVERAL = "English, several references"
SETS: dict[str, tuple[list[Case], ScoringConfig]] = {
    "English": (ENGLISH, ScoringConfig(resamples=2)),
    "English, full caption": (
        ENGLISH,
        ScoringConfig(resamples=2, caption_text="full", punctuation="kept"),
    ),
    SEVERAL: (ENGLISH, ScoringConfig(resamples=2)),
    "English, whisper": (ENGLISH, ScoringConfig(resamples=2, normaliser="whisper")),
    "English, none": (ENGLISH, ScoringConfig(resamples=2, normaliser="none")),
    "Mandarin, characters": (MANDARIN, ScoringConfig(resamples=2, language="zh")),
    "Mandarin, jieba": (MANDARIN, ScoringConfig(resamples=2, language="zh", segmentation="jieba")),
    "Mandarin, mixed": (
        MANDARIN,
        ScoringConfig(resamples=2, language="zh", segmentation="mixed", punctuation="kept"),
    ),
}
JAVA = (
    "bleu4",
    "meteor",
    "meteor_mean",
    "rouge_l",
    "cider",
    "spice",
    "spider",
)  # of English: PTB tokens, METEOR, SPICE
WITH_JAVA = ("English", "English, full caption", SEVERAL)
Golden = dict[str, dict[str, Any]]  # metric -> value, chance, n, counts


def shipped() -> list[Metric]:
    """The package's metrics, without those of user plug-ins."""
    folder = Path(str(metrics.__file__)).parent
    modules = [
        importlib.import_module(f"{metrics.__name__}.{module.name}")
        for module in pkgutil.iter_modules([str(folder)])
    ]
    return [metric for module in modules for metric in module.METRICS]


def scores(name: str, java: bool, folder: Path) -> Golden:
    """Scores of one of SETS: those of the metrics that need Java, or of all others."""
    cases, config = SETS[name]
    config = replace(
        config, cache=str(folder / "cache"), spice_jars=os.environ.get("SERDESC_SPICE", "")
    )
    utterances, lines = [], []
    for i, (labels, caption, response, beside) in enumerate(cases):
        utterances.append(Utterance(f"utt{i}", "", f"spk{i % 3}", labels=labels, caption=caption))
        lines.append(
            json.dumps({"utt_id": f"utt{i}", "response": response, "unread": [], **beside})
        )
    (folder / "hyp.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    hyps, _ = hypotheses.answered(folder / "hyp.jsonl", utterances)
    chosen = [
        metric for metric in shipped() if java == (config.language == "en" and metric.name in JAVA)
    ]
    # the other metrics do not depend on these settings
    if name in ("English, full caption", SEVERAL):
        chosen = [metric for metric in chosen if metric.captions]
    if config.normaliser != ScoringConfig().normaliser:
        chosen = [metric for metric in chosen if metric.transcript]
    references = several(utterances) if name == SEVERAL else None
    counted = scoring.rows(utterances, hyps, TargetConfig(), chosen, config, references)
    golden: Golden = {}
    for metric in chosen:
        if counted.table[metric.name]:
            score = scoring.score(metric, counted.table[metric.name], config, {})
            golden[metric.name] = {
                "value": score.value,
                "chance": score.chance,
                "n": score.n,
                "counts": score.counts,
            }
    return golden


def several(utterances: list[Utterance]) -> dict[str, list[str]]:
    """One to three references of each utterance: its own, and those of the next ones."""
    captions = [utt.caption or "" for utt in utterances] * 2
    return {utt.utt_id: captions[i : i + 1 + i % 3] for i, utt in enumerate(utterances)}


def golden(name: str, java: bool) -> Golden:
    assert (
        GOLDEN.is_file()
    ), f"{GOLDEN.name} is missing: no scores are recorded for version {__version__}. {NEXT_STEP}"
    recorded: dict[str, dict[str, Golden]] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return recorded["java" if java else "no java"][name]


def compare(found: Golden, wanted: Golden, name: str) -> None:
    assert list(found) == list(wanted), f"{name}: metrics differ from {GOLDEN.name}. {NEXT_STEP}"
    for metric, score in wanted.items():
        message = f"{name}, {metric}: differs from {GOLDEN.name}. {NEXT_STEP}"
        assert (
            found[metric].keys() == score.keys()
            and found[metric]["counts"].keys() == score["counts"].keys()
        ), message
        assert found[metric]["n"] == score["n"], message
        assert found[metric]["counts"] == pytest.approx(score["counts"], rel=1e-9), message
        for key in ("value", "chance"):
            assert found[metric][key] == pytest.approx(
                score[key], abs=1e-4
            ), message  # rounded to four digits


@pytest.mark.parametrize("name", SETS)
def test_scores_belong_to_the_version(name: str, tmp_path: Path) -> None:
    compare(scores(name, False, tmp_path), golden(name, False), name)


@pytest.mark.java
@pytest.mark.skipif(shutil.which("java") is None, reason="no Java")
@pytest.mark.parametrize("name", WITH_JAVA)
def test_scores_with_java_belong_to_the_version(
    name: str, tmp_path: Path, real_spice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERDESC_SPICE", str(real_spice))
    compare(scores(name, True, tmp_path), golden(name, True), name)


def test_every_metric_has_a_golden_score() -> None:
    recorded = {metric for name in SETS for metric in golden(name, False)}
    recorded |= {metric for name in WITH_JAVA for metric in golden(name, True)}
    assert recorded == {
        metric.name for metric in shipped() if not metric.needs  # a model of the user's
    }, f"add an example of the metric to {Path(__file__).name}. {NEXT_STEP}"


def test_a_changed_score_names_the_next_step(tmp_path: Path) -> None:
    found = scores("English", False, tmp_path)
    found["ua"] = {**found["ua"], "value": found["ua"]["value"] + 0.01}
    with pytest.raises(
        AssertionError, match="English, ua: differs from scores-.* increase __version__"
    ):
        compare(found, golden("English", False), "English")


def record() -> None:
    """Write the golden scores of the present version."""
    if GOLDEN.exists():
        sys.exit(
            f"{GOLDEN}: the scores of version {__version__} are recorded: increase __version__ in"
            " serdesc/__init__.py first"
        )
    recorded: dict[str, dict[str, Golden]] = {"no java": {}, "java": {}}
    for name in SETS:
        for java in (False, True):
            if not java or name in WITH_JAVA:
                with tempfile.TemporaryDirectory() as folder:
                    recorded["java" if java else "no java"][name] = scores(name, java, Path(folder))
                if java and list(recorded["java"][name]) != [
                    metric.name for metric in shipped() if metric.name in JAVA
                ]:
                    sys.exit(
                        f"{name}: a metric has no value: install Java, run tools/get_spice.sh or"
                        " set SERDESC_SPICE, and record again"
                    )
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(text_of(recorded), encoding="utf-8")
    print(GOLDEN)


def text_of(recorded: dict[str, dict[str, Golden]]) -> str:
    """JSON with one metric per line, so that a difference between versions can be read."""
    groups = []
    for group, sets in recorded.items():
        texts = []
        for name, of_metric in sets.items():
            lines = ",\n".join(
                f'   "{metric}": {json.dumps(score)}' for metric, score in of_metric.items()
            )
            texts.append(f'  "{name}": {{\n{lines}\n  }}')
        groups.append(f' "{group}": {{\n' + ",\n".join(texts) + "\n }")
    return "{\n" + ",\n".join(groups) + "\n}\n"


if __name__ == "__main__":
    record()
