"""Several seeds of one system: exp/<tag>/seed<s>/fold<k>."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest
from scipy.stats import ttest_rel

from serdesc import config as configs
from serdesc.captions.fields import Fields
from serdesc.config import Config
from serdesc.data.datadir import Utterance
from serdesc.scoring import branches, metrics, protocol, report, tables, typeset
from serdesc.scoring import score as scoring
from serdesc.scoring.experiment import Experiment
from serdesc.scoring.hypotheses import Hypothesis

EMOTIONS = ("angry", "happy", "neutral", "sad")
N = 40  # utterances per fold
UA = next(metric for metric in metrics.every() if metric.name == "ua")


def right(system: str, seed: int, i: int) -> bool:
    return (i + seed) % (5 if system == "full" else 3) != 0


def score_folds(exp: Path, system: str, seeds: tuple[int, ...]) -> None:
    """Two scored folds per seed, and a training log of one epoch."""
    config = configs.load([Path(system)])
    for seed in seeds:
        for fold in (1, 2):
            folder = exp / (f"seed{seed}" if len(seeds) > 1 else "") / f"fold{fold}"
            utterances, hyps = [], {}
            for i in range((fold - 1) * N, fold * N):
                labels = Fields(emotion=EMOTIONS[i % 4])
                utterances.append(Utterance(f"u{i:03d}", "", f"s{i % 8}", labels=labels))
                predicted = EMOTIONS[(i + (not right(system, seed, i))) % 4]
                hyps[f"u{i:03d}"] = Hypothesis("", Fields(emotion=predicted))
            chosen = metrics.chosen("ua,wa")
            table = scoring.rows(utterances, hyps, config.target, chosen, config.scoring).table
            scores = [scoring.score(m, table[m.name], config.scoring, {}) for m in chosen]
            scoring.write(folder / "decode_test" / "score.json", scores, table)
            configs.dump(config, folder / "config.yaml")
            steps = [
                {
                    "phase": phase,
                    "epoch": epoch,
                    "latents": {
                        phase: {"kl_per_dimension": 0.1 * seed + epoch, "active_dimensions": 3}
                    },
                    "layer_weights": {phase: [0.25, 0.75]},
                }
                for phase in ("content", "descriptor")
                for epoch in (0, 1)
            ]
            (folder / "train.jsonl").write_text("".join(json.dumps(s) + "\n" for s in steps))


def ua(system: str, seed: int, fold: int | None = None) -> float:
    """Classes are balanced, so UA is the accuracy."""
    numbers = range(2 * N) if fold is None else range((fold - 1) * N, fold * N)
    return 100 * statistics.fmean(right(system, seed, i) for i in numbers)


def test_deviations_over_seeds_and_over_folds_are_apart(tmp_path: Path) -> None:
    score_folds(tmp_path / "full", "full", (1, 2, 3))
    experiment = Experiment.open(tmp_path / "full", "test", Config())
    assert list(experiment.seeds) == ["seed1", "seed2", "seed3"]
    assert experiment.fold_numbers == ["1", "2"]
    by_seed = [ua("full", seed) for seed in (1, 2, 3)]
    by_fold = [statistics.fmean(ua("full", seed, fold) for seed in (1, 2, 3)) for fold in (1, 2)]
    assert experiment.by_seed(UA, mean_of_folds=True) == pytest.approx(by_seed, abs=1e-3)
    assert experiment.by_fold(UA) == pytest.approx(by_fold, abs=1e-3)

    report.report(tmp_path / "full", "test", Config())
    tree = json.loads((tmp_path / "full/score_test.json").read_text())
    row = next(row for row in tree["scores"] if row["metric"] == "ua")
    assert row["value"] == pytest.approx(statistics.fmean(by_seed), abs=1e-3)
    assert row["deviation_of_seeds"] == pytest.approx(statistics.stdev(by_seed), abs=1e-3)
    assert row["signature"].endswith("pooled:2 folds x 3 seeds")
    text = (tmp_path / "full/RESULTS.md").read_text()
    assert "80 x 3" in text and "seed1 seed2 seed3" in text and "± over seeds" in text


@pytest.mark.slow
def test_a_row_says_what_was_run_and_marks_use_all_seeds(tmp_path: Path) -> None:
    for system in ("full", "no_disentanglement"):
        score_folds(tmp_path / system, system, (1, 2, 3))
    made = tables.table(2, [f"toy={tmp_path}"], "test", "utterance", Config())
    rows = typeset.grid(made.rows)
    cells = {row[0]: dict(zip(rows[0], row)) for row in rows}
    mean = statistics.fmean(ua("full", seed) for seed in (1, 2, 3))
    seeds = statistics.stdev(ua("full", seed) for seed in (1, 2, 3))
    assert cells["7"]["toy UA %"].startswith(f"{mean:.1f} ± ")
    assert f"(seeds ± {seeds:.1f})" in cells["7"]["toy UA %"]
    ran = "alternating, β 0.01 (mean over K 128), 4 + 4 epochs, hubert-large-ls960-ft, "
    assert cells["7"]["run on toy"] == f"{ran}Llama-3.1-8B-Instruct, 3 seeds"
    assert cells["7"]["system, published"] == "HuBERT+FD+LLM-SER+SED+ASR"

    def shares(system: str) -> list[float]:
        return [
            statistics.fmean(100.0 * right(system, seed, i) for seed in (1, 2, 3))
            for i in range(2 * N)
        ]

    p = ttest_rel(shares("full"), shares("no_disentanglement"), alternative="greater").pvalue
    assert any(f"p {p:.4f}" in note and "80 utterances" in note for note in made.notes)


def test_one_seed_keeps_its_path_and_columns(tmp_path: Path) -> None:
    score_folds(tmp_path / "full", "full", (1,))
    report.report(tmp_path / "full", "test", Config())
    text = (tmp_path / "full/RESULTS.md").read_text()
    assert "over seeds" not in text and "seed1" not in text and "x 1" not in text


def test_the_branches_are_described_by_their_last_epoch(tmp_path: Path) -> None:
    score_folds(tmp_path / "full", "full", (1, 2, 3))
    experiment = Experiment.open(tmp_path / "full", "test", Config())
    rows = typeset.grid(branches.table(experiment))
    head = ["branch", "KL per frame and dimension, nats", "active dimensions"]
    assert rows[0] == [*head, "weights of layers 1 to 2"]
    assert rows[1] == ["content", "1.2000", "3.0 of 128", "0.250 0.750"]
    assert [row[0] for row in rows[1:]] == ["content", "descriptor"]


@pytest.mark.parametrize(
    "system, text",
    [
        ("beta_1e-3", "alternating, β 0.001 (mean over K 128), 4 + 4 epochs"),
        ("no_bottleneck", "alternating, z = mu, no KL, 4 + 4 epochs"),
        ("no_disentanglement", "alternating, no branches, 4 + 4 epochs"),
        ("ser_asr", "alternating, no descriptors, β 0.01 (mean over K 128), 4 + 4 epochs"),
        ("ser_sed", "one-stage, no transcript, β 0.01 (mean over K 128), 4 epochs"),
        ("ssl_hubert", "pooled classifier and CTC, 8 epochs"),
    ],
)
def test_what_was_run_in_words(system: str, text: str, tmp_path: Path) -> None:
    import yaml

    configs.dump(configs.load([Path(system)]), tmp_path / "config.yaml")
    record = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert protocol.described(record).startswith(f"{text}, hubert-large-ls960-ft")
    del record["training"]["kl"]  # a record of an earlier version
    assert "mean over K" not in protocol.described(record)


@pytest.mark.slow
def test_the_papers_questions_are_answered_over_speakers(tmp_path: Path) -> None:
    for system in ("full", "no_disentanglement", "no_bottleneck"):
        score_folds(tmp_path / system, system, (1, 2))
    notes = tables.table(3, [f"toy={tmp_path}"], "test", "utterance", Config()).notes
    difference = statistics.fmean(ua("full", s) - ua("no_disentanglement", s) for s in (1, 2))
    (note,) = [note for note in notes if "two branches, over one" in note]
    assert note.startswith(f"toy, two branches, over one weighted sum: UA {difference:+.1f} (95 %")
    assert "over 8 speakers" in note and note.endswith("paper: IEMOCAP +4.0, MELD +3.7")
    (note,) = [note for note in notes if "noise and KL" in note]
    assert note.endswith("not in the paper")
    assert not any("descriptors in the target" in note for note in notes), "not run"
    assert not any(
        "two branches" in n
        for n in tables.table(1, [f"toy={tmp_path}"], "test", "utterance", Config()).notes
    )


def test_differences_that_all_experiments_have_are_stated_once(tmp_path: Path) -> None:
    import yaml

    for system in ("full", "no_disentanglement"):
        score_folds(tmp_path / system, system, (1,))
        for path in (tmp_path / system).glob("fold*/config.yaml"):
            record = yaml.safe_load(path.read_text())
            record["adapter"]["k"] = 3
            record["branch"]["latent"] = 64 if system == "full" else 128
            path.write_text(yaml.safe_dump(record))
    notes = tables.table(3, [f"toy={tmp_path}"], "test", "utterance", Config()).notes
    assert "toy, all: differ from the paper: adapter.k 3 (paper: 5)" in notes
    assert "toy, full: folds 1, 2; beyond that: branch.latent 64 (paper: 128)" in notes
    assert "toy, no_disentanglement: folds 1, 2; beyond that: nothing" in notes
