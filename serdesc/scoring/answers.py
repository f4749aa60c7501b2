"""The paper's questions, answered on one corpus: differences of UA with intervals over speakers."""

from __future__ import annotations

from serdesc.scoring import metrics as all_metrics
from serdesc.scoring import paper
from serdesc.scoring.corpus_runs import CorpusRuns
from serdesc.scoring.marks import compare_experiments

# Question, and the systems a, b of the difference a - b.
QUESTIONS = (
    ("two branches, over one weighted sum", "full", "no_disentanglement"),
    ("noise and KL, over neither", "full", "no_bottleneck"),
    ("alternating, over one phase after the other", "full", "two_stage"),
    ("descriptors in the target, over none", "full", "ser_asr"),
    ("beta 1, over that of full", "beta_1", "full"),
    ("beta 1e-1, over that of full", "beta_1e-1", "full"),
    ("beta 1e-3, over that of full", "beta_1e-3", "full"),
    ("beta 1e-4, over that of full", "beta_1e-4", "full"),
)


def answers(corpus: CorpusRuns) -> list[str]:
    """One sentence for each question whose two systems were run.

    "no difference": the 95 % interval over speakers (intervals.py) includes zero.
    """
    experiments = {**corpus.others, **corpus.systems}
    ua = next(metric for metric in all_metrics.every() if metric.name == "ua")
    sentences: list[str] = []
    for question, a, b in QUESTIONS:
        if a not in experiments or b not in experiments:
            continue
        compared = compare_experiments(experiments[a], experiments[b], ua, "speaker")
        if compared is None or compared.interval is None:
            continue
        low, high = compared.interval
        verdict = "no difference"
        if low > 0 or high < 0:
            verdict = "better" if low > 0 else "worse"
        sentences.append(
            f"{corpus.name}, {question}: UA {compared.a - compared.b:+.1f} (95 % over"
            f" {compared.units} speakers {low:+.1f} to {high:+.1f}): {verdict};"
            f" {_published(a, b)}"
        )
    return sentences


def _published(a: str, b: str) -> str:
    """The paper's difference on each of its corpora."""
    rows = {row["system"]: row["published"] for row in paper.layout(3)["rows"]}
    rows |= {r["system"]: r["published"] for r in paper.layout(2)["rows"] if "system" in r}
    if a not in rows or b not in rows:
        return "not in the paper"
    texts: list[str] = []
    for corpus in paper.layout(2)["columns"]:
        difference = float(rows[a][corpus][0]) - float(rows[b][corpus][0])
        texts.append(f"{corpus} {difference:+.1f}")
    return f"paper: {', '.join(texts)}"
