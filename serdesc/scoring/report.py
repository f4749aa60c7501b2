"""Tables: one fold's scores on the terminal, and an experiment's folds pooled into a table and a RESULTS.md block."""

from __future__ import annotations

import math
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Mapping, Sequence

from serdesc.config import Config
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import read_json, read_jsonl, write_json, write_text
from serdesc.scoring import faithfulness, metrics as all_metrics
from serdesc.scoring.metric import Metric
from serdesc.scoring.captions import Captions
from serdesc.scoring.classes import confusion
from serdesc.scoring.baselines import LOGMEL, read_rows as read_baseline
from serdesc.scoring.significance import Comparison, holm
from serdesc.scoring.score import ROWS, Rows, Score, difference, read_rows, score, total

Lines = list[dict[str, Any]]  # of one fold's rows.jsonl
BASELINES = "baselines.json"


def show(scores: Sequence[Score], metrics: Sequence[Metric], title: str) -> None:
    """A table of one set of scores on the terminal."""
    by_name = {metric.name: metric for metric in metrics}
    rows = [["metric", "score", "95 %", "chance", "utterances", "unread"]]
    for s in scores:
        rows.append([by_name[s.metric].unit, _cell(s.value), _range(s.interval), _cell(s.chance), str(s.n), str(s.counts.get("unread", ""))])
    show_table(rows, title)
    for note in dict.fromkeys(s.note for s in scores if s.note):
        print(f"not computed: {', '.join(by_name[s.metric].unit for s in scores if s.note == note)}: {note}")


def show_comparisons(found: Sequence[Comparison], notes: Mapping[str, str], metrics: Sequence[Metric], title: str) -> None:
    """A table of differences; p-values are corrected by Holm's method over the metrics, test by test."""
    by_name = {metric.name: metric for metric in metrics}
    tests = ("t", "randomisation", "mcnemar", "bootstrap")
    corrected = {}
    for test in tests:
        asked = [c for c in found if c.p[test] is not None]
        corrected[test] = dict(zip((c.metric for c in asked), holm([c.p[test] or 0.0 for c in asked])))
    rows = [["metric", "A", "B", "A - B", "95 %", "units", *(f"p {test}" for test in tests)]]
    for c in found:
        cells = ["" if c.metric not in corrected[test] else f"{corrected[test][c.metric]:.4f}" for test in tests]
        rows.append([by_name[c.metric].unit, _cell(c.a), _cell(c.b), f"{c.a - c.b:+.1f}", _range(c.interval), f"{c.units} {c.unit}s", *cells])
    show_table(rows, title)
    print("p: one-tailed, for A better than B; Holm's correction over the rows of a column. Empty: the test does not apply.")
    for name, note in notes.items():
        print(f"not compared: {by_name[name].unit}: {note}")


def report(exp: Path, part: str, config: Config) -> None:
    """Pool the decoded folds of an experiment; write score_<part>.json and RESULTS.md beside them, and print the table."""
    folds = _folds(exp, part)
    signatures = _signatures(folds, part)
    metrics = [metric for metric in all_metrics.every() if metric.name in signatures]
    pooled: dict[str, Score] = {}
    by_fold: dict[str, list[float]] = {}
    linear = read_baseline(exp / BASELINES, LOGMEL)
    above: dict[str, tuple[float, tuple[float, float] | None]] = {}
    lines = [read_rows(fold / f"decode_{part}" / ROWS) for fold in folds]
    for metric in metrics:
        counted = [_counts(fold, metric) for fold in lines]
        pooled[metric.name] = score(metric, _as_one_set(lines, metric, counted, config), config.scoring, {})
        tested = {utt.utt_id for rows in counted for utt, _ in rows}
        same = [(utt, counts) for utt, counts in linear.get(metric.name, []) if utt.utt_id in tested]
        if tested and len(same) == len(tested):
            above[metric.name] = difference(metric, sum(counted, []), same, config.scoring)
        values = [metric.value(total([counts for _, counts in rows])) for rows in counted if rows]
        by_fold[metric.name] = [round(value, 4) for value in values if not math.isnan(value)]
    emotions = confusion(line["ua"] for fold in lines for line in fold if "ua" in line)
    write_json(
        exp / f"score_{part}.json",
        {
            "folds": [fold.name for fold in folds],
            "confusion": emotions,
            "scores": [
                {
                    **asdict(pooled[metric.name]),
                    "signature": signatures[metric.name] + f"|pooled:{len(folds)} folds",
                    "by_fold": by_fold[metric.name],
                    "mean": round(statistics.fmean(by_fold[metric.name]), 4) if by_fold[metric.name] else None,
                    "above_log_mel": above.get(metric.name),
                    "deviation": round(statistics.stdev(by_fold[metric.name]), 4) if len(by_fold[metric.name]) > 1 else None,
                }
                for metric in metrics
            ],
        },
    )
    table = _table(exp, metrics, pooled, by_fold, above)
    heard = [row for fold in folds for row in _heard(fold / f"decode_{part}")]
    truth = faithfulness.cells(faithfulness.table(heard, config.scoring)) if heard else []
    write_text(exp / "RESULTS.md", _block(exp, folds, table) + _confusion(emotions) + (f"\n{_markdown(truth)}\n" if truth else ""))
    show_table(table, f"{exp}: {part}, {len(folds)} fold(s) pooled")
    if truth:
        show_table(truth, "claimed and heard")


def _heard(decoded: Path) -> Lines:
    path = decoded / "faithfulness.rows.jsonl"
    return read_jsonl(path) if path.exists() else []


def _folds(exp: Path, part: str) -> list[Path]:
    folds = sorted((p for p in exp.glob("fold*") if (p / f"decode_{part}" / "score.json").exists()), key=lambda p: int(p.name[4:]))
    if not folds:
        raise UserError(f"{exp}: no fold*/decode_{part}/score.json in it. Run stages 4 to 6 first")
    return folds


def _signatures(folds: Sequence[Path], part: str) -> dict[str, str]:
    """The signature of each metric, which must be the same in all folds."""
    found: dict[str, str] = {}
    for fold in folds:
        for row in read_json(fold / f"decode_{part}" / "score.json")["scores"]:
            known = found.setdefault(row["metric"], row["signature"])
            if known != row["signature"]:
                raise UserError(
                    f"{fold}: {row['metric']} was scored as {row['signature']}, another fold as {known}: these are not comparable. "
                    "Score all folds with one configuration."
                )
    return found


def _counts(lines: Lines, metric: Metric) -> Rows:
    return [(Utterance(line["utt_id"], "", line["spk"]), line[metric.name]) for line in lines if metric.name in line]


def _as_one_set(folds: Sequence[Lines], metric: Metric, counted: list[Rows], config: Config) -> Rows:
    """The folds' rows; where a caption's score depends on its set, scored anew as one set."""
    rows = sum(counted, [])
    if not (metric.of_set and metric.captions and len(folds) > 1 and rows):
        return rows
    tokens = {line["utt_id"]: line["tokens"] for lines in folds for line in lines if "tokens" in line}
    hyps, refs = ([tokens[utt.utt_id][side] for utt, _ in rows] for side in ("hyp", "ref"))
    return list(zip([utt for utt, _ in rows], metric.captions(Captions.of_tokens(hyps, refs, config.scoring))))


def _table(
    exp: Path,
    metrics: Sequence[Metric],
    pooled: dict[str, Score],
    by_fold: dict[str, list[float]],
    above: dict[str, tuple[float, tuple[float, float] | None]],
) -> list[list[str]]:
    rows = [["metric", *(metric.unit for metric in metrics)]]
    rows.append(["chance", *(_cell(pooled[m.name].chance) for m in metrics)])
    for name, values in (read_json(exp / BASELINES) if (exp / BASELINES).exists() else {}).items():
        rows.append([name, *(_cell(values.get(m.name)) for m in metrics)])
    rows.append([f"**{exp.name}**, pooled", *(_cell(pooled[m.name].value) for m in metrics)])
    rows.append(["95 % interval", *(_range(pooled[m.name].interval) for m in metrics)])
    means = [
        f"{statistics.fmean(v):.1f} ± {statistics.stdev(v):.1f}" if len(v := by_fold[m.name]) > 1 else _cell(v[0] if v else None) for m in metrics
    ]
    rows.append(["mean of folds ± deviation", *means])
    if above:
        rows.append(["above log-mel, 95 %", *(_signed(*above[m.name]) if m.name in above else "" for m in metrics)])
    rows.append(["utterances", *(str(pooled[m.name].n) for m in metrics)])
    return [list(row) for row in zip(*(row for row in rows if any(row[1:])))]  # a metric a row


def _confusion(table: Mapping[str, Mapping[str, int]]) -> str:
    """Markdown: what each emotion was heard as, and the share that was found."""
    if not table:
        return ""
    said = sorted({name for row in table.values() for name in row}, key=lambda name: (name == "unread", name))
    rows = [["emotion, heard as", *said, "recall %"]]
    for wanted, row in table.items():
        rows.append([wanted, *(str(row.get(name, 0)) for name in said), f"{100 * row.get(wanted, 0) / sum(row.values()):.1f}"])
    return "\n" + _markdown(rows) + "\n"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in body)])


def _block(exp: Path, folds: Sequence[Path], table: list[list[str]]) -> str:
    """Markdown with the table and what made it."""
    environment: dict[str, Any] = read_json(folds[0] / "env.json") if (folds[0] / "env.json").exists() else {}
    import yaml

    config = yaml.safe_load((folds[0] / "config.yaml").read_text(encoding="utf-8")) if (folds[0] / "config.yaml").exists() else {}
    made = [
        f"- encoder {config.get('encoder', {}).get('model')}, LLM {config.get('llm', {}).get('model')}, seed {config.get('seed')}, "
        f"strategy {config.get('training', {}).get('strategy')}, beta {config.get('training', {}).get('beta')}",
        f"- commit {environment.get('commit')}, Python {environment.get('python')}, "
        + ", ".join(f"{k} {v}" for k, v in environment.get("versions", {}).items() if k != "serdesc"),
        f"- {environment.get('processor')}, {environment.get('cores')} cores, {environment.get('threads')} thread(s) a process",
        f"- command of fold {folds[0].name[4:]}: `{_short(environment.get('command', ''))}`",
    ]
    return f"### {exp.name}: folds {' '.join(fold.name[4:] for fold in folds)}\n\n" + _markdown(table) + "\n\n" + "\n".join(made) + "\n"


def _short(command: str) -> str:
    """The command without the folder that the program lies in."""
    program, _, rest = command.partition(" ")
    return f"{Path(program).name} {rest}".strip()


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _range(interval: tuple[float, float] | list[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.1f}-{interval[1]:.1f}"


def _signed(value: float, interval: tuple[float, float] | None) -> str:
    return f"{value:+.1f}" + (f" ({interval[0]:+.1f} to {interval[1]:+.1f})" if interval else "")


def show_table(rows: list[list[str]], title: str) -> None:
    """On the terminal; the first row is the head."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify="left" if i == 0 else "right", min_width=14 if i == 0 else None)
    for row in rows[1:]:
        table.add_row(*(cell.replace("**", "") for cell in row))
    Console(width=None if sys.stdout.isatty() else 140).print(table)
