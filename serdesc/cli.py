"""The command line: one verb a stage. Heavy imports stay inside the verbs, so `serdesc --help` answers at once."""

from __future__ import annotations

import functools
import hashlib
import sys
from pathlib import Path
from typing import Annotated, Any, Callable, Optional

import typer

from serdesc import __version__
from serdesc.errors import FailedError, UserError

app = typer.Typer(
    help="Hear speech, and say what was said, how, and what it means for the emotion.",
    no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False,
)  # fmt: skip

Data = Annotated[Path, typer.Argument(help="Kaldi-style data directory.", show_default=False)]
StoreArg = Annotated[str, typer.Argument(metavar="STORE", help="Feature store, or `live` to compute features on the way.", show_default=False)]
Exp = Annotated[Path, typer.Argument(help="Experiment folder of one fold.", show_default=False)]
ConfigFile = Annotated[Optional[Path], typer.Option("--config", help="YAML file; what it leaves out keeps its default.")]
Set = Annotated[Optional[list[str]], typer.Option("--set", help="key=value over the file, for example training.beta=1e-3. Repeatable.")]
Jobs = Annotated[int, typer.Option("--nj", min=1, help="Processes at a time; the result does not depend on it.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """A command whose errors are one message: exit code 2 for the user's mistakes, 1 for failures."""

    @functools.wraps(function)
    def run(*args: Any, debug: bool = False, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except (UserError, FailedError, OSError) as error:
            if debug:
                raise
            typer.echo(f"serdesc {function.__name__}: {error}", err=True)
            raise typer.Exit(2 if isinstance(error, UserError) else 1) from None
        except KeyboardInterrupt:
            typer.echo(f"\nserdesc {function.__name__}: stopped. What was finished is kept; the same command goes on from there.", err=True)
            raise typer.Exit(130) from None

    import inspect

    signature = inspect.signature(function, eval_str=True)
    option = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in (*signature.parameters.values(), option)}
    return app.command(name=function.__name__)(run)


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"serdesc {__version__}")
        raise typer.Exit()


@verb
def prepare(
    corpus: Annotated[str, typer.Argument(help="A module of serdesc/data/corpora: mini, ravdess, speechcraft ...", show_default=False)],
    src: Annotated[Path, typer.Argument(help="The corpus as it was downloaded (mini: where to put it).", show_default=False)],
    data: Data,
    config: ConfigFile = None, settings: Set = None, nj: Jobs = 1,
) -> None:  # fmt: skip
    """Turn a downloaded corpus into a Kaldi-style data directory.

    Example: `serdesc prepare ravdess ~/corpora/ravdess data/ravdess`
    """
    from serdesc import config as configs
    from serdesc.data import prepare as preparation

    accepted, rejected = preparation.prepare(corpus, src, data, configs.load(config, settings).prepare, nj)
    hours = sum(utt.seconds or 0.0 for utt in accepted) / 3600
    typer.echo(f"{data}: {len(accepted)} utterances, {len({u.spk for u in accepted})} speakers, {hours:.2f} h; {len(rejected)} rejected")
    for item in rejected[:10]:
        typer.echo(f"  rejected {item.utt_id}: {item.reason} ({item.path})", err=True)
    if rejected:
        typer.echo(f"  all of them, with reasons: {data / 'rejected.tsv'}", err=True)


@verb
def annotate(
    data: Data,
    out: Annotated[Optional[Path], typer.Option("--out", help="Folder for the folds, for one of several label sets; DATA by default.")] = None,
    config: ConfigFile = None, settings: Set = None, nj: Jobs = 1,
) -> None:  # fmt: skip
    """Measure pitch, energy and speed; label every fold by the thresholds of its training part; write reference captions.

    Example: `serdesc annotate data/ravdess --config conf/ravdess.yaml --nj 4`
    """
    from serdesc import config as configs
    from serdesc.data.annotate import annotate as run

    for fold in run(data, configs.load(config, settings), nj, out):
        counts = ", ".join(f"{len(part)} {name}" for name, part in fold.parts().items())
        typer.echo(f"{out or data}/fold{fold.number}: {counts}")


@verb
def check(
    path: Annotated[Path, typer.Argument(help="Data directory, feature store or experiment.", show_default=False)],
    corpus: Annotated[str, typer.Option("--corpus", help="Compare a data directory with what is published of this corpus, and hear its audio.")] = "",
    listed: Annotated[Optional[Path], typer.Option("--list", help="TSV with utt_id (or key) and seconds to compare with, such as EmoBox's.")] = None,
    nj: Jobs = 1,
) -> None:
    """Say whether a data directory, a feature store or an experiment is sound, and if not, what is wrong where.

    Example: `serdesc check data/iemocap --corpus iemocap --nj 4`
    """
    if (path / "feats.scp").exists() or (path / "header.json").exists():
        from serdesc.features.store import Store

        store = Store(path)
        typer.echo(f"{path}: features of {store.verify()} utterances by {store.header['encoder']}, {store.layers} layers of {store.width}")
    elif (path / "config.yaml").exists():
        from serdesc.training import checkpoint

        found = checkpoint.find(path)
        if found is None:
            raise UserError(f"{path}: no checkpoint yet. Run: serdesc train DATA STORE {path}")
        state = checkpoint.verify(found)
        typer.echo(f"{path}: {state.done} of {state.blocks} blocks trained{'' if state.finished else '; `serdesc train` goes on from there'}")
    else:
        from serdesc.data import datadir, doctor

        utterances = datadir.read(path)
        hours = sum(utt.seconds or 0.0 for utt in utterances) / 3600
        typer.echo(f"{path}: {len(utterances)} utterances, {len({u.spk for u in utterances})} speakers, {hours:.2f} h")
        if corpus or listed:
            findings = doctor.check(path, corpus, listed, nj)
            for line in doctor.summary(findings):
                typer.echo(line)
            if faults := sum(finding.is_fault for finding in findings):
                raise FailedError(f"{path}: {faults} faults, as listed above")
            typer.echo(f"{path}: sound")


@verb
def extract(
    data: Data,
    store: Annotated[Path, typer.Argument(help="Folder for the features.", show_default=False)],
    config: ConfigFile = None, settings: Set = None,
    shard: Annotated[str, typer.Option("--shard", help="i/n: do the i-th of n equal shares, for array jobs.")] = "1/1",
    max_disk: Annotated[Optional[float], typer.Option("--max-disk", help="GB; for more, STORE says that features are computed live.")] = None,
) -> None:  # fmt: skip
    """Run the frozen encoder over a data directory and keep the outputs of all its layers.

    Example: `serdesc extract data/mini dump/hubert-mini/mini --config conf/mini.yaml`
    """
    from serdesc import config as configs, runtime
    from serdesc.data import datadir
    from serdesc.features import store as stores
    from serdesc.features.encoder import Encoder
    from serdesc.progress import progress

    job = _share(shard)
    settled = configs.load(config, settings)
    device = runtime.start(settled)
    utterances = datadir.read(data)
    encoder = Encoder.load(settled.encoder, device)
    if max_disk is not None and (need := stores.size(utterances, encoder, settled.store) / 1e9) > max_disk:
        stores.mark_live(store, encoder, settled.store)
        hours = sum(utt.seconds or 0.0 for utt in utterances) / 3600
        typer.echo(f"{store}: features of {hours:.3g} h would take {need:.3g} GB, more than {max_disk:g} GB (--max-disk): they are computed live")
        return
    groups = stores.shards(utterances, settled.store.shard_seconds)
    mine = sum(len(group) for number, group in enumerate(groups) if number % job[1] == job[0] - 1)
    with progress("extract", mine, "utterances") as advance:
        stores.write(store, utterances, encoder, settled.store, job, advance)


def _share(text: str) -> tuple[int, int]:
    first, _, last = text.partition("/")
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
        raise UserError(f"--shard {text}: write i/n with 1 <= i <= n, for example 2/5")
    return int(first), int(last)


@verb
def plan(
    config: Annotated[Path, typer.Argument(help="YAML file, as for `train`.", show_default=False)], data: Data,
    gpu: Annotated[str, typer.Option("--gpu", help="A card of serdesc/plan/cards.yaml, for example a100-40 or rtx4090.")] = "",
    memory: Annotated[Optional[float], typer.Option("--memory", min=0.1, help="GB to stay below; by default the card's, or this machine's.")] = None,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Measure this machine for a minute or two, and tell its hours.")] = False,
    out: Annotated[Optional[Path], typer.Option("--out", help="JSON to write.")] = None, settings: Set = None,
) -> None:  # fmt: skip
    """Say before anything runs what it takes: parameters, disk, tokens, memory and hours; and the settings that fit a card.

    Example: `serdesc plan egs/iemocap/conf/iemocap.yaml data/iemocap --gpu a100-40`
    """
    from serdesc import config as configs
    from serdesc.plan import planner

    planner.tell(configs.load(config, settings), data, gpu, memory, calibrate, out)


@verb
def train(data: Data, store: StoreArg, exp: Exp, config: ConfigFile = None, settings: Set = None) -> None:
    """Fine-tune branches, adapters and LoRA on a fold's training part; goes on where it was stopped.

    Example: `serdesc train data/mini/fold1/train dump/hubert-mini/mini exp/mini/fold1 --config conf/mini.yaml`
    """
    from serdesc import config as configs, runtime
    from serdesc.data import datadir
    from serdesc.data.folds import fold_of
    from serdesc.features.store import open_features
    from serdesc.training import trainer

    settled = configs.load(config, settings)
    device = runtime.start(settled)
    utterances = datadir.read(data)
    trainer.train(utterances, open_features(store, settled, device), settled, exp, fold_of(data), device)


@verb
def decode(
    data: Data, store: StoreArg, exp: Exp,
    out: Annotated[Optional[Path], typer.Option("--out", help="hyp.jsonl to write; by default EXP/decode_<name of DATA>/hyp.jsonl.")] = None,
    settings: Set = None,
) -> None:  # fmt: skip
    """Caption a data directory with a trained experiment; the configuration is the experiment's own.

    Example: `serdesc decode data/mini/fold1/test dump/hubert-mini/mini exp/mini/fold1`
    """
    from serdesc import config as configs, runtime
    from serdesc.builtin import resolve
    from serdesc.data import datadir
    from serdesc.decoding import decode as run
    from serdesc.features.store import open_features
    from serdesc.files import write_json
    from serdesc.training import trainer

    target, exp = out or exp / f"decode_{data.name}" / "hyp.jsonl", Path(resolve(str(exp)))
    if target.exists():
        typer.echo(f"{target} is there already; remove it to decode again", err=True)
        return
    settled = configs.load(exp / "config.yaml", settings)
    device = runtime.start(settled)
    features = open_features(store, settled, device, any_length=True)
    model, _ = trainer.load(exp, features, device, settings)
    run(model, features, datadir.read(data), target)
    if target.parent.name.startswith("decode_") and not (record := target.parent.parent / "config.yaml").exists():
        configs.dump(settled, record)  # an experiment of answers alone: `report` says what made them
        write_json(record.with_name("env.json"), runtime.environment())
    typer.echo(str(target))


@verb
def score(
    data: Data,
    hyp: Annotated[Path, typer.Option("--hyp", help="hyp.jsonl; utt_id and response are enough.", show_default=False)],
    metric: Annotated[str, typer.Option("--metric", help="Names separated by commas; all by default.")] = "",
    out: Annotated[Optional[Path], typer.Option("--out", help="score.json to write; by default beside the hypotheses.")] = None,
    refs: Annotated[Optional[Path], typer.Option("--refs", help="Other reference captions, `<utt_id> <caption>` a line.")] = None,
    missing: Annotated[str, typer.Option("--missing", help="An utterance without an answer is an `error`, or counts as `wrong`.")] = "error",
    faithful: Annotated[bool, typer.Option("--faithful", help="Also measure the sound, and compare what the captions claim with it.")] = False,
    train: Annotated[Optional[Path], typer.Option("--train", help="Where --faithful takes percentiles from; by default DATA/../train.")] = None,
    counterfactual: Annotated[Optional[Path], typer.Option("--counterfactual", help="A trained fold: decode changed recordings with it.")] = None,
    limit: Annotated[int, typer.Option("--limit", help="So many utterances are changed.")] = 100,
    nj: Jobs = 1,
    config: ConfigFile = None, settings: Set = None,
) -> None:  # fmt: skip
    """Score hypotheses against a fold's labels: every figure with its count, interval and signature.

    Example: `serdesc score data/mini/fold1/test --hyp exp/mini/fold1/decode_test/hyp.jsonl`
    """
    from serdesc import config as configs
    from serdesc.data import datadir
    from serdesc.fields import Fields
    from serdesc.scoring import metrics, report, score as scoring

    settled = configs.load(config, settings)
    utterances = datadir.read(data)
    wanted = metrics.chosen(metric)
    signed = {"fold_rule": settled.folds.rule, "protocol": settled.folds.protocol, "labels": "+".join(settled.folds.labels) or "all"}
    if refs:
        utterances = scoring.read_references(refs, utterances)
        signed["refs"] = f"{refs.name} {hashlib.sha256(refs.read_bytes()).hexdigest()[:8]}"
    hyps = scoring.read_hypotheses(hyp)
    if missing not in ("error", "wrong"):
        raise UserError(f"--missing {missing}: not one of error, wrong")
    if missing == "wrong":
        silent = [utt.utt_id for utt in utterances if utt.utt_id not in hyps]
        hyps |= {utt_id: scoring.Hypothesis("", Fields()) for utt_id in silent}
        signed["missing"] = "wrong"
        typer.echo(f"{len(silent)} utterances without an answer count as wrong{': ' if silent else ''}{' '.join(silent[:10])}", err=True)
    table, notes, tokens = scoring.rows(utterances, hyps, settled.target, wanted, settled.scoring, hyp)
    scores = [
        scoring.score(m, table[m.name], settled.scoring, signed, notes.get(m.name, ""))
        for m in wanted
        if table[m.name] or m.name in notes
    ]  # fmt: skip
    target = out or hyp.with_name("score.json")
    scoring.write(target, scores, table, tokens)
    report.show(scores, wanted, f"{target}")
    if faithful:
        from serdesc.scoring import faithfulness

        found = faithfulness.rows(data, train or data.parent / "train", hyps, settled.measure, nj)
        report.show_table(faithfulness.cells(faithfulness.write(target.parent, found, settled.scoring)), "claimed and heard")
    if counterfactual:
        from serdesc import counterfactual as changes

        report.show_table(changes.cells(changes.run(utterances, counterfactual, target.parent, settings or [], limit)), "changed and heard")


@verb
def compare(
    data: Data,
    hyp_a: Annotated[Path, typer.Argument(help="hyp.jsonl of DATA, or an experiment of its folds.", show_default=False)],
    hyp_b: Annotated[Path, typer.Argument(help="The reference system, likewise.", show_default=False)],
    metric: Annotated[str, typer.Option("--metric", help="Names separated by commas.")] = "ua,wer",
    unit: Annotated[str, typer.Option("--unit", help="What varies: utterance, speaker or fold.")] = "speaker",
    out: Annotated[Optional[Path], typer.Option("--out", help="JSON to write.")] = None,
    config: ConfigFile = None, settings: Set = None,
) -> None:  # fmt: skip
    """Say whether system A is better than system B: differences, intervals and one-tailed p-values, corrected for their number.

    Example: `serdesc compare data/mini exp/mini exp/beta1 --metric ua,wer,cider --unit utterance`
    """
    from serdesc import config as configs
    from serdesc.files import write_json
    from serdesc.scoring import metrics, report, significance

    if unit not in significance.UNITS:
        raise UserError(f"--unit {unit}: not one of {', '.join(significance.UNITS)}")
    wanted = metrics.chosen(metric)
    found, notes = significance.compare_all(data, hyp_a, hyp_b, wanted, configs.load(config, settings), unit)
    report.show_comparisons(found, notes, wanted, f"{hyp_a} over {hyp_b}")
    if out:
        write_json(out, {"a": str(hyp_a), "b": str(hyp_b), "comparisons": [comparison.to_dict() for comparison in found]})


@verb
def baselines(
    data: Data, out: Annotated[Path, typer.Option("--out", help="JSON to write.", show_default=False)],
    nj: Jobs = 1, config: ConfigFile = None, settings: Set = None,
) -> None:  # fmt: skip
    """What little can be had without the model, on the same folds: a constant, words alone, reference descriptors, log-mel statistics.

    Example: `serdesc baselines data/mini --out exp/mini/baselines.json`
    """
    from serdesc import config as configs
    from serdesc.scoring import baselines as run

    run.write(out, run.baselines(data, nj, configs.load(config, settings).scoring))
    typer.echo(str(out))


@verb
def report(
    exp: Annotated[Path, typer.Argument(help="Experiment with folds in it, for example exp/mini.", show_default=False)],
    part: Annotated[str, typer.Option("--part", help="Which decoded set.")] = "test",
    config: ConfigFile = None, settings: Set = None,
) -> None:  # fmt: skip
    """Pool the folds of an experiment: a table on the terminal, `score_<part>.json`, and a RESULTS.md block with what made it.

    Example: `serdesc report exp/mini`
    """
    from serdesc import config as configs
    from serdesc.scoring import report as run

    run.report(exp, part, configs.load(config, settings))


@verb
def describe(
    audio: Annotated[list[Path], typer.Argument(help="Audio files of any format that libsndfile reads.", show_default=False)],
    model: Annotated[str, typer.Option("--model", help="Experiment folder, or the name of a built-in model.")] = "describer-mini",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line: audio, caption, fields, seconds.")] = False,
    settings: Set = None,
) -> None:  # fmt: skip
    """Caption recordings: transcript, pitch, energy, speed, age, gender, emphasis and emotion.

    Example: `serdesc describe my_voice.wav`
    """
    from serdesc.describe import describe as run

    unusable = run(audio, model, as_json, settings or [])
    if unusable:
        raise FailedError(f"{unusable} of {len(audio)} files could not be used, as said above")


def entry() -> None:
    """Console script."""
    try:
        app()
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    entry()
