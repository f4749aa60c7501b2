"""The paper's tables: published values as they are printed, measured cells by hand, marks by scipy,
and what stays empty says why.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import statistics
from importlib.util import find_spec
from pathlib import Path
from typing import Callable

import pandas as pd
import pytest
import yaml
from scipy.stats import ttest_rel
from typer.testing import CliRunner

from serdesc import config as configs
from serdesc.captions.fields import Fields
from serdesc.cli import app
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.scoring import corpus_runs, metrics, paper, tables, terminal, typeset
from serdesc.scoring import score as scoring
from serdesc.scoring.hypotheses import Hypothesis, read_hypotheses
from serdesc.scoring.marks import OVER_SPEAKERS

CLASSES = ("angry", "happy", "neutral", "sad")
N = 40  # utterances a fold


def experiment(
    folder: Path,
    system: str,
    right: Callable[[int], bool],
    folds: int = 2,
    signed: str = "all",
    scored: dict[int, str] = {},
    more: list[str] = [],
) -> None:
    """A scored experiment: emotions are right where `right` says so, transcripts always but for
    every fifth word. `scored`: a fold's metrics.
    """
    config = configs.load([Path(system)] if system else None, more)
    for fold in range(1, folds + 1):
        wanted = metrics.chosen(scored.get(fold, "ua,wer,pitch"))
        utterances, hyps = [], {}
        for i in range((fold - 1) * N, fold * N):
            emotion = CLASSES[i % 4]
            labels = Fields(transcript="one two three four five", emotion=emotion, pitch="low")
            utterances.append(Utterance(f"u{i:03d}", "", f"s{i % 8}", labels=labels))
            said = emotion if right(i) else CLASSES[(i + 1) % 4]
            text = "one two three four six" if i % 2 else "one two three four five"
            hyps[f"u{i:03d}"] = Hypothesis("", Fields(transcript=text, emotion=said, pitch="low"))
        table = scoring.rows(utterances, hyps, config.target, wanted, config.scoring).table
        scores = [
            scoring.score(m, table[m.name], config.scoring, {"protocol": signed})
            for m in wanted
            if table[m.name]
        ]
        scoring.write(folder / f"fold{fold}" / "decode_test" / "score.json", scores, table)
        configs.dump(config, folder / f"fold{fold}" / "config.yaml")


@pytest.fixture
def exps(tmp_path: Path) -> Path:
    exp = tmp_path / "toy" / "exp"
    experiment(exp / "full", "full", lambda i: i % 5 != 0)
    experiment(exp / "no_disentanglement", "no_disentanglement", lambda i: i % 3 == 0)
    experiment(exp / "ser_asr", "ser_asr", lambda i: i % 5 != 1, folds=1)
    experiment(exp / "ser_sed", "ser_sed", lambda i: i % 5 != 0)
    experiment(exp / "somebody", "", lambda i: i % 2 == 0)
    (exp / "ssl_wavlm").mkdir()
    (exp / "ssl_wavlm" / corpus_runs.NOT_RUN).write_text("no encoder in this recipe\n")
    return exp


def made(number: int, exp: Path, **options: bool) -> dict[tuple[str, str], str]:
    """(id, column) -> cell."""
    rows = typeset.grid(
        tables.table(number, [str(exp)], "test", "utterance", configs.Config(), **options).rows
    )
    return {(row[0], name): cell for row in rows[1:] for name, cell in zip(rows[0], row)}


def test_published_values_are_those_of_the_papers_sentences() -> None:
    """Section 4.4: differences that the paper states in words; and a system that stands in two
    tables has the same values in both.
    """
    layouts = yaml.safe_load(paper.LAYOUT.read_text())
    assert [len(layouts[n]["rows"]) for n in (1, 2, 3)] == [7, 15, 8]
    values = {(n, row["id"]): row["published"] for n in layouts for row in layouts[n]["rows"]}

    def over(table: int, a: str, b: str, corpus: str) -> list[float]:
        return [
            round(x - y, 1)
            for x, y in zip(values[table, a][corpus], values[table, b][corpus])
            if None not in (x, y)
        ]

    assert over(1, "3", "1", "EMOSEC") == [3.2, 6.3, 6.3, 8.6, 3.1]
    assert (over(2, "7", "4", "IEMOCAP")[0], over(2, "7", "4", "MELD")[0]) == (4.0, 3.7)
    assert (over(3, "4", "3", "IEMOCAP")[0], over(3, "4", "3", "MELD")[0]) == (7.0, 6.8)
    by_system: dict[tuple[str, str], list[float]] = {}
    for layout in layouts.values():
        for row in layout["rows"]:
            assert all(
                len(row["published"][corpus]) == len(names)
                for corpus, names in layout["columns"].items()
            )
            for corpus, printed in row["published"].items():
                if row.get("system") and None not in printed:
                    assert by_system.setdefault((row["system"], corpus), printed) == printed
    assert {
        row["system"] for layout in layouts.values() for row in layout["rows"] if "system" in row
    } <= set(configs.systems())


@pytest.mark.slow
def test_cells_say_the_value_or_why_there_is_none(exps: Path) -> None:
    cells = made(2, exps)
    folds = [
        100 * sum(i % 5 != 0 for i in range(k * N, (k + 1) * N)) / N for k in (0, 1)
    ]  # classes are even, so UA is accuracy
    assert cells["7", "toy UA %"].startswith(
        f"{statistics.fmean(folds):.1f} ± {statistics.stdev(folds):.1f}"
    )
    assert cells["7", "toy WER %"] == "10.0 ± 0.0"  # one word of five in every second utterance
    assert (
        cells["6", "toy WER %"] == "no transcript in the target"
        and cells["6", "toy UA %"] == "80.0 ± 0.0"
    )
    assert (
        cells["1", "toy UA %"] == "not run"
        and cells["2", "toy UA %"] == "no encoder in this recipe"
    )
    assert (
        cells["P3", "toy UA %"] == "published only"
        and cells["P3", "IEMOCAP UA %, published"] == "72.0"
        and cells["P3", "MELD UA %, published"] == "–"
    )
    assert cells["5", "toy UA %"] == "80.0 (1 fold)"
    assert (
        cells["+", "system, published"] == "somebody (toy)"
        and cells["+", "toy UA %"] == "50.0 ± 0.0"
    )
    assert made(3, exps, descriptors=True)["3", "toy pitch %"] == "no descriptors in the target"


@pytest.mark.slow
def test_the_constant_answer_is_a_row_where_it_was_scored(exps: Path) -> None:
    (exps / "baselines.json").write_text(
        json.dumps({"constant": {"ua": 25.0, "wer": None}, "words alone": {"ua": 30.0}})
    )
    rows = typeset.grid(tables.table(2, [str(exps)], "test", "utterance", configs.Config()).rows)
    last = dict(zip(rows[0], rows[-1]))
    assert (
        last["system, published"] == "constant answer (toy)"
        and last["toy UA %"] == "25.0"
        and last["toy WER %"] == ""
    )


@pytest.mark.slow
def test_marks_are_the_papers_t_test(exps: Path) -> None:
    found = tables.table(2, [str(exps)], "test", "utterance", configs.Config())
    ua = dict(zip(found.rows["ID"], found.rows["toy UA %"]))
    full = [100.0 * (i % 5 != 0) for i in range(2 * N)]
    other = [100.0 * (i % 3 == 0) for i in range(2 * N)]
    p = ttest_rel(full, other, alternative="greater").pvalue
    assert p < 0.05 and ua["7"] == "80.0 ± 0.0* [*]"
    assert any(
        note.startswith("toy, UA %: full over no_disentanglement +46.2")
        and f"p {p:.4f}" in note
        and "80 utterances" in note
        for note in found.notes
    )
    assert any(
        "full over ser_asr +0.0" in note and "40 utterances" in note for note in found.notes
    )  # on the one fold that both have
    assert not any(
        "full over ser_sed" in note for note in found.notes
    )  # equal answers: there is nothing to test
    alike = [
        note
        for note in found.notes
        if note.endswith("folds 1, 2; differs from the paper: in nothing that is configured")
    ]
    assert alike == [
        "toy, full, no_disentanglement, ser_sed, somebody: folds 1, 2; differs from the paper: in"
        " nothing that is configured"
    ]
    third = tables.table(3, [str(exps)], "test", "utterance", configs.Config()).rows
    assert not any(
        "*" in cell for row in third[1:] for cell in row
    )  # the mark stands on rows that the full system is better than


def test_signatures_are_not_mixed(exps: Path) -> None:
    experiment(exps / "two_stage", "two_stage", lambda i: True, signed="emobox")
    with pytest.raises(UserError, match="do not belong into one column"):
        made(3, exps)


@pytest.mark.slow
def test_of_two_folders_of_one_system_its_namesake_is_the_row(exps: Path) -> None:
    experiment(exps / "full2", "full", lambda i: True)
    cells = made(2, exps)
    assert cells["7", "toy UA %"].startswith("80.0") and ("full2 (toy)", "100.0 ± 0.0") in others(
        exps
    )
    (exps / "full").rename(exps / "full1")
    with pytest.raises(UserError, match="both the system full: name the directory full"):
        made(2, exps)


def others(exp: Path) -> list[tuple[str, str]]:
    rows = typeset.grid(tables.table(2, [str(exp)], "test", "utterance", configs.Config()).rows)
    return [(row[1], row[rows[0].index("toy UA %")]) for row in rows[1:] if row[0] == "+"]


@pytest.mark.slow
def test_a_system_of_ones_own_has_a_row_and_is_told_about(exps: Path) -> None:
    experiment(exps / "mine", "full", lambda i: True, more=["system=mine", "training.beta=10"])
    assert ("mine (toy)", "100.0 ± 0.0") in others(exps)
    notes = tables.table(2, [str(exps)], "test", "utterance", configs.Config()).notes
    assert any(
        note.startswith(
            "toy, mine: folds 1, 2; differs from the paper: training.beta 10.0 (paper: 0.01)"
        )
        for note in notes
    )


@pytest.mark.slow
def test_what_was_scored_in_part_says_so(tmp_path: Path) -> None:
    exp = tmp_path / "toy" / "exp"
    experiment(exp / "full", "full", lambda i: i % 5 != 0, folds=3, scored={2: "ua"})
    experiment(exp / "ser_asr", "ser_asr", lambda i: i % 2 == 0, folds=2, scored={1: "ua", 2: "ua"})
    experiment(
        exp / "no_disentanglement",
        "no_disentanglement",
        lambda i: i % 2 == 0,
        folds=2,
        scored={1: "wer"},
    )
    cells = made(2, exp)
    assert (
        cells["7", "toy WER %"] == "10.0 ± 0.0 (2 of 3 folds)"
        and cells["5", "toy WER %"] == "not scored"
    )
    assert cells["4", "toy UA %"] == "50.0 (1 of 2 folds)"
    notes = tables.table(2, [str(exp)], "test", "utterance", configs.Config()).notes
    assert any(
        "full over no_disentanglement" in note and f"{N} utterances" in note for note in notes
    ), "on the fold in which both have it"
    shutil.copytree(exp / "full" / "fold3", exp / "full" / "fold4")
    with pytest.raises(UserError, match="'u080' is in the test parts of fold3 and of fold4"):
        made(2, exp)


@pytest.mark.slow
def test_marks_over_speakers_by_hand(tmp_path: Path) -> None:
    """All gains are of one speaker: 3 of his 10 answers, p 0.04 over utterances, 0.175 over the
    eight speakers."""
    exp = tmp_path / "toy" / "exp"
    gains = (0, 8, 16)  # of speaker 0
    experiment(exp / "full", "full", lambda i: i % 3 == 0 or i in gains)
    experiment(
        exp / "no_disentanglement", "no_disentanglement", lambda i: i % 3 == 0 and i not in gains
    )
    found = tables.table(2, [str(exp)], "test", "utterance", configs.Config())
    assert dict(zip(found.rows["ID"], found.rows["toy UA %"]))["7"].endswith("*")
    by_speaker = [3 / 10, *[0.0] * 7]  # difference of the mean of each speaker
    p = ttest_rel(by_speaker, [0.0] * 8, alternative="greater").pvalue
    (note,) = [note for note in found.notes if note.endswith("8 speakers")]
    assert p > 0.05 and f"p {p:.4f}" in note
    over_speakers = tables.table(2, [str(exp)], "test", "speaker", configs.Config())
    assert [n for n in over_speakers.notes if n.endswith("8 speakers")] == [note]
    assert OVER_SPEAKERS in found.notes
    assert not any("[...]" in note for note in over_speakers.notes)


@pytest.mark.slow
def test_marks_belong_to_one_corpus_and_holm_to_the_table(tmp_path: Path) -> None:
    for name, right in (
        ("a", lambda i: i % 5 != 0),
        ("b", lambda i: i % 5 == 0),
        ("c", lambda i: i % 5 != 0),
    ):
        experiment(tmp_path / name / "toy" / "full", "full", right)
        experiment(
            tmp_path / name / "toy" / "no_disentanglement",
            "no_disentanglement",
            lambda i: i % 5 != 0 and i not in (1, 2, 3),
        )

    def cells(*named: str) -> list[str]:
        rows = typeset.grid(
            tables.table(
                2,
                [f"{name}={tmp_path}/{name}/toy" for name in named],
                "test",
                "utterance",
                configs.Config(),
            ).rows
        )
        full = dict(zip(rows[0], next(row for row in rows if row[0] == "7")))
        return [full[f"{name} UA %"].split(" ± ")[1].lstrip("0123456789.") for name in named]

    assert cells("a") == ["* [*]"], "p 0.042 over utterances, 0.040 over speakers"
    assert cells("a", "b") == ["(*) [(*)]", ""], "of two tests 0.084 and 0.080"
    assert cells("a", "c") == ["(*) [(*)]"] * 2
    with pytest.raises(UserError, match="two of the directories would both be called toy"):
        tables.table(
            2,
            [str(tmp_path / "a" / "toy"), str(tmp_path / "b" / "toy")],
            "test",
            "utterance",
            configs.Config(),
        )


@pytest.mark.slow
def test_zero_shot_stands_under_its_system(exps: Path) -> None:
    experiment(exps / "full-zero-shot", "full", lambda i: i % 2 == 0)
    rows = typeset.grid(
        tables.table(2, [f"named={exps}"], "test", "utterance", configs.Config()).rows
    )
    at = next(i for i, row in enumerate(rows) if row[0] == "7")
    assert (
        rows[at + 1][1].startswith("zero-shot")
        and rows[at + 1][rows[0].index("named UA %")] == "50.0 ± 0.0"
    )


@pytest.mark.slow
def test_forms_and_the_command(exps: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    for form in ("terminal", "markdown", "csv", "latex"):
        out = tmp_path / f"table.{form}"
        assert (
            run(app, ["table", "2", str(exps), "--format", form, "--out", str(out)]).exit_code == 0
        )
    read = list(csv.reader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert len(read) == 17 and {len(row) for row in read} == {9}
    assert (tmp_path / "table.latex").read_text().count(r"\\") == 17 and r"UA \%" in (
        tmp_path / "table.latex"
    ).read_text()
    ran = "alternating, β 0.01 (mean over K 128), 4 + 4 epochs, hubert-large-ls960-ft, "
    assert (
        f"| 7 | HuBERT+FD+LLM-SER+SED+ASR | 77.6 | 11.1 | 60.1 | 25.3 | {ran}"
        "Llama-3.1-8B-Instruct | 80.0 ± 0.0* [*] |"
        in squeezed((tmp_path / "table.markdown").read_text())
    )
    for suffix, form in typeset.SUFFIXES.items():
        if form == typeset.PARQUET:
            continue
        assert (
            run(app, ["table", "2", str(exps), "--out", str(tmp_path / f"t{suffix}")]).exit_code
            == 0
        )
        assert (tmp_path / f"t{suffix}").read_text() == (tmp_path / f"table.{form}").read_text()
    for arguments, wanted in (
        (["4", str(exps)], "the paper has 1, 2, 3"),
        (["2", str(exps / "nowhere")], "no such directory"),
        (
            ["2", str(exps), "--out", "table.docx"],
            "--out table.docx: ends in none of .md, .csv, .tex",
        ),
        (["2", str(exps), "--format", "word"], "not one of terminal, markdown, csv, latex"),
        (["2", str(exps / "ssl_wavlm" / "..")], ""),
    ):
        done = run(app, ["table", *arguments])
        assert done.exit_code == (2 if wanted else 0) and wanted in done.output.replace("\n", "")


def framed(rows: list[list[str]]) -> pd.DataFrame:
    """A table from its rows, the head first."""
    return pd.DataFrame(rows[1:], columns=rows[0])


def squeezed(text: str) -> str:
    """Markdown without the spaces that align its columns."""
    return re.sub(" +", " ", text)


SPECIAL = [
    "a|b",
    "a & b",
    "5 %",
    "a_b",
    "1 ± 2",
    "†",
    r"\{$#^~",
    "",
    "25.0",
    "007",
    "1e5",
    "nan",
    "–",
]


def test_special_characters_and_figures_survive_in_each_format() -> None:
    table = pd.DataFrame([SPECIAL, SPECIAL[::-1]], columns=SPECIAL)
    head, _, first, second = [
        re.split(r"(?<!\\)\|", line)[1:-1] for line in typeset.markdown(table).splitlines()
    ]
    for line, expected in ((head, SPECIAL), (first, SPECIAL), (second, SPECIAL[::-1])):
        assert [cell.strip().replace("\\|", "|") for cell in line] == expected
    assert list(csv.reader(io.StringIO(typeset.comma_separated(table)))) == [
        SPECIAL,
        SPECIAL,
        SPECIAL[::-1],
    ]
    escaped = [
        "a|b",
        r"a \& b",
        r"5 \%",
        r"a\_b",
        r"1 $\pm$ 2",
        r"$\dagger$",
        r"\textbackslash{}\{\$\#\textasciicircum{}\textasciitilde{}",
        *SPECIAL[7:],
    ]
    body = [
        re.split(r" (?<!\\)& ", line.removesuffix(r" \\"))
        for line in typeset.latex(table).splitlines()
        if line.endswith(r"\\")
    ]
    assert body == [escaped, escaped, escaped[::-1]]


def test_parquet_has_the_cells_or_names_pyarrow(exps: Path, tmp_path: Path) -> None:
    table, out = (
        tables.table(2, [str(exps)], "test", "utterance", configs.Config()),
        tmp_path / "table.parquet",
    )
    with pytest.raises(UserError, match="pyarrow" if find_spec("pyarrow") is None else "--out"):
        typeset.set_table(table.rows, "", [], typeset.PARQUET)
    if find_spec("pyarrow") is None:
        with pytest.raises(UserError, match="pyarrow"):
            typeset.write(out, table.rows, "", [], typeset.PARQUET)
        done = CliRunner().invoke(app, ["table", "2", str(exps), "--out", str(out)])
        assert (
            done.exit_code == 2
            and "pyarrow" in done.output
            and not list(tmp_path.glob("*.parquet*"))
        )
    else:
        typeset.write(out, table.rows, "", [], typeset.PARQUET)
        assert typeset.grid(pd.read_parquet(out)) == list(
            csv.reader(io.StringIO(typeset.comma_separated(table.rows)))
        )


def test_a_cell_stays_one_cell() -> None:
    rows = framed([["a", "b"], ["x|y", "not run:\n no  GPU"]])
    assert squeezed(typeset.markdown(rows)).splitlines()[-1] == "| x\\|y | not run: no GPU |"
    assert typeset.comma_separated(rows).splitlines()[-1] == "x|y,not run: no GPU"
    assert r"x|y & not run: no GPU \\" in typeset.latex(rows).splitlines()


def shown(rows: list[list[str]] | pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The cells of the row below the head on the terminal: folded lines joined, without spaces;
    stacked parts side by side.
    """
    terminal.print_table(rows, "a [b] table")
    told = capsys.readouterr().out
    assert told.startswith("a [b] table") and "…" not in told
    cells: list[str] = []
    for part in told.split("┏")[1:]:
        lines = [
            [cell.strip() for cell in line.split("│")[1:-1]]
            for line in part.splitlines()
            if line.startswith("│")
        ]
        columns = ["".join(column).replace(" ", "") for column in zip(*lines)]
        assert not cells or columns[0] == cells[0], "each part repeats the label"
        cells += columns[1:] if cells else columns
    return cells


@pytest.mark.slow
@pytest.mark.parametrize(
    "number, descriptors, width",
    [(1, False, 80), (2, False, 80), (3, False, 80), (3, True, 80), (2, True, 60), (3, True, 120)],
)
def test_tables_fit_the_terminal_and_wrap_between_words(
    exps: Path, monkeypatch: pytest.MonkeyPatch, number: int, descriptors: bool, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    done = CliRunner().invoke(
        app, ["table", str(number), str(exps), *(["--descriptors"] if descriptors else [])]
    )
    assert done.exit_code == 0, done.output
    complete = tables.table(number, [str(exps)], "test", "utterance", configs.Config(), descriptors)
    for line in done.output.splitlines():
        assert len(line) <= width, line
    printed = done.output.replace("│", " ").replace("┃", " ").split()
    for word in {
        word
        for row in typeset.grid(complete.terminal)
        for cell in row
        for word in typeset.plain(cell).split()
    }:
        assert word in printed, f"{word} is wrapped or cut"
    assert {word for note in complete.notes for word in note.split()} <= set(printed)
    head = " ".join(complete.terminal.columns)
    assert "IEMOCAP" not in head and "MELD" not in head and "EMOSEC" not in head, "no runs on these"
    assert ("pitch" in printed) == descriptors


def test_published_values_are_on_the_terminal_beside_runs_on_that_corpus(exps: Path) -> None:
    complete = tables.table(2, [f"iemocap={exps}"], "test", "utterance", configs.Config())
    head, *below = typeset.grid(complete.terminal)
    assert "IEMOCAP UA %, published" in head and not any("MELD" in cell for cell in head)
    assert [row[0] for row in below[:8]] == [
        "P1",
        "P3",
        "P4",
        "P5",
        "P6",
        "P7",
        "P8",
        "1",
    ], "P2 has values for MELD alone"
    assert {len(row) for row in below} == {len(head)} and len(complete.rows.columns) == len(
        head
    ) + 2


def test_the_terminal_cuts_no_name_and_takes_none_for_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [
        "mine[old]",
        "HuBERT+FD+LLM-SER+SED+ASR",
        ":smile: [/]",
        *(f"{80 + i}.0 ± 0.0**" for i in range(17)),
    ]
    assert shown([["h"] * len(names), names], capsys) == [name.replace(" ", "") for name in names]


def test_marks_and_special_characters_survive_in_every_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [["system", "UA %"], [r"**a**, \{$&#^_~", "80.0 ± 0.1**"]]
    table = framed(rows)
    assert (
        squeezed(typeset.markdown(table)).splitlines()[-1] == r"| **a**, \{$&#^_~ | 80.0 ± 0.1** |"
    )
    assert typeset.comma_separated(table).splitlines()[-1] == r'"a, \{$&#^_~",80.0 ± 0.1**'
    told = r"a, \textbackslash{}\{\$\&\#\textasciicircum{}\_\textasciitilde{} & 80.0 $\pm$ 0.1** \\"
    assert typeset.latex(table).splitlines()[3:5] == [
        r"\midrule",
        told,
    ] and r"UA \%" in typeset.latex(table)
    assert shown(table, capsys) == shown(rows, capsys) == [r"a,\{$&#^_~", "80.0±0.1**"]


# ---- anybody's captions ----

FORMS = {
    "hyp.jsonl": (
        '{"utt_id": "a", "response": "She is sad."}\n{"utt_id": "b", "response": "A man, angry."}\n'
    ),
    "blank.jsonl": (
        '\n{"utt_id": "a", "response": "She is sad."}\n\n{"utt_id": "b", "response": "A man,'
        ' angry."}\n \n'
    ),
    "text": "a She is sad.\nb A man, angry.\n",
    "two.tsv": "a\tShe is sad.\nb\tA man, angry.\n",
    "quoted.tsv": '"utt_id"\t"response"\n"a"\t"She is sad."\n"b"\t"A man, angry."\n',
    "head.tsv": "caption\tscore\tkey\nShe is sad.\t1\ta.wav\nA man, angry.\t2\tclips/b.flac\n",
    "object.json": json.dumps({"a": "She is sad.", "b": "A man, angry."}, indent=1),
    "array.json": (
        '[{"image_id": "a", "id": 7, "caption": "She is sad."},\n {"utt_id": "b", "response": "A'
        ' man, angry."}]'
    ),
    "result.txt": (
        "file: a.wav\norigin: x\nresult: She is sad.\nresult2: no\n\nfile: b.wav\norigin:"
        " y\nresult: A man, angry.\n"
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_captions_of_other_systems_are_read_in_their_forms(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FORMS[name])
    hyps = read_hypotheses(tmp_path / name)
    assert {utt_id: (hyp.response, hyp.fields.emotion) for utt_id, hyp in hyps.items()} == {
        "a": ("She is sad.", "sad"),
        "b": ("A man, angry.", "angry"),
    }


def test_what_csv_quoted_is_unquoted_and_nothing_else(tmp_path: Path) -> None:
    said = {"a": 'A sad man says, "hello".', "b": '"Hello" he said "bye"', "c": '"', "d": "plain"}
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        with open(tmp_path / "csv.tsv", "w", newline="") as file:
            csv.writer(file, delimiter="\t", quoting=quoting).writerows(
                [("utt_id", "response"), *said.items()]
            )
        assert {
            utt_id: hyp.response for utt_id, hyp in read_hypotheses(tmp_path / "csv.tsv").items()
        } == said
    (tmp_path / "raw.tsv").write_text(
        "".join(f"{utt_id}\t{text}\n" for utt_id, text in said.items())
    )
    assert {
        utt_id: hyp.response for utt_id, hyp in read_hypotheses(tmp_path / "raw.tsv").items()
    } == said


@pytest.mark.parametrize(
    "text", ['{"utt_id": "a", "response": null}', '{"a": null}', '[{"id": "a", "caption": null}]']
)
def test_no_answer_is_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "hyp").write_text(text)
    assert read_hypotheses(tmp_path / "hyp") == {"a": Hypothesis("", Fields())}


@pytest.mark.parametrize(
    "text, message",
    [
        ("a\tb\tc\n1\t2\t3\n", "a TSV of 3 columns without a head"),
        ("key\tcaption\nonly\n", ":2: fewer columns"),
        ("file: a.wav\norigin: x\n", ":1: a line needs utt_id and response"),
        ("a one\na two\n", "1 answered twice: a"),
        ('{"response": "x"}\n', ":1: a line needs utt_id and response"),
        ('{"a": "one", "b": "x", "a": "two"}', "1 answered twice: a"),
        ('{"a": "one", "b": 5}', ":1: a line needs utt_id and response, both text, found .*b.*5"),
        (
            '\n{"utt_id": "a", "response": ["x"]}\n',
            ":2: a line needs utt_id and response, both text",
        ),
        ('{"utt_id": [5], "response": "x"}\n', ":1: a line needs utt_id and response, both text"),
        ('[{"image_id": 5.5, "caption": "x"}]', ":1: a line needs utt_id and response, both text"),
        ('[{"image_id": "a"}, "x"]', ":1: a line needs utt_id and response, both text"),
        ('[{"image_id": "a"', ":1: not JSON"),
        (
            '\n{"utt_id": "a", "response": "x", "posterior": "sad"}\n',
            ":2: posterior 'sad': not probabilities of emotions",
        ),
        (
            '{"utt_id": "a", "response": "x", "posterior": {"sad": 1.5}, "emotion": ["sad"]}',
            "emotion .* not one of .*; posterior .* not prob",
        ),
        (
            '{"utt_id": "a", "response": "x", "transcript": 5, "emphasis": "no"}',
            "transcript '5': not text; emphasis 'no': not a list of words",
        ),
    ],
)
def test_what_is_no_answer_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "hyp").write_text(text)
    with pytest.raises(UserError, match=message):
        read_hypotheses(tmp_path / "hyp")
