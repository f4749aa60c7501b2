"""Verbs of stages 3 to 5: features, training, captions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from serdesc.cli.command import ConfigFile, Data, Exp, Set, StoreArg, verb
from serdesc.errors import FailedError, UserError


@verb
def extract(
    data: Data,
    store: Annotated[Path, typer.Argument(help="Folder for the features.", show_default=False)],
    config_files: ConfigFile = None, settings: Set = None,
    shard: Annotated[str, typer.Option("--shard", help="i/n: do the i-th of n equal shares, for array jobs.")] = "1/1",
    max_disk: Annotated[Optional[float], typer.Option("--max-disk", help="GB; for more, STORE says that features are computed live.")] = None,
) -> None:  # fmt: skip
    """Run the frozen encoder over a data directory (of folds.labels, where some are named), and keep the outputs of all its layers.

    Example: `serdesc extract data/mini dump/hubert-mini/mini --config conf/mini.yaml`
    """
    from serdesc import config as configs
    from serdesc import runtime
    from serdesc.data import audio, datadir, folds
    from serdesc.features import store as stores
    from serdesc.features.encoder import Encoder
    from serdesc.progress import progress

    job = _share(shard)
    config = configs.load(config_files, settings)
    device = runtime.start(config)
    utterances = datadir.timed(
        folds.usable_utterances(data, datadir.read(data), config.folds.labels)
    )
    encoder = Encoder.load(config.encoder, device)
    if (
        max_disk is not None
        and (need := stores.size(utterances, encoder, config.store) / 1e9) > max_disk
    ):
        stores.mark_live(store, encoder, config.store)
        hours = sum(utt.seconds or 0.0 for utt in utterances) / 3600
        typer.echo(
            f"{store}: features of {hours:.3g} h would take {need:.3g} GB, more than {max_disk:g} GB (--max-disk): they are computed live"
        )
        return
    groups = stores.shards(utterances, config.store.shard_seconds)
    mine = sum(len(group) for number, group in enumerate(groups) if number % job[1] == job[0] - 1)
    with progress("extract", mine, "utterances") as advance:
        unusable = stores.write(store, utterances, encoder, config.store, job, advance)
    audio.tell(unusable, f"have no features in {store}")


def _share(text: str) -> tuple[int, int]:
    first, _, last = text.partition("/")
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
        raise UserError(f"--shard {text}: write i/n with 1 <= i <= n, for example 2/5")
    return int(first), int(last)


@verb
def plan(
    config: Annotated[Path, typer.Argument(help="YAML file, as for `train`.", show_default=False)],
    data: Annotated[Path, typer.Argument(help="Data directory, with folds or still without, or a folder of folds.", show_default=False)],
    more: Annotated[Optional[list[Path]], typer.Option("--config", help="A further file, or a system of the paper by name. Repeatable.")] = None,
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

    planner.run(configs.load([config, *(more or [])], settings), data, gpu, memory, calibrate, out)


@verb
def train(
    data: Data, store: StoreArg, exp: Exp, config_files: ConfigFile = None, settings: Set = None,
    allow_cpu: Annotated[bool, typer.Option("--allow-cpu", help="Train an LLM of more than 1e9 parameters on a CPU.")] = False,
) -> None:  # fmt: skip
    """Fine-tune branches, adapters and LoRA on a fold's training part; goes on where it was stopped.

    Example: `serdesc train data/mini/fold1/train dump/hubert-mini/mini exp/mini/fold1 --config conf/mini.yaml`
    """
    from serdesc import config as configs
    from serdesc import runtime
    from serdesc.data import datadir
    from serdesc.data.folds import check_labels, fold_of
    from serdesc.features.store import open_features
    from serdesc.models import llm
    from serdesc.training import trainer

    config = configs.load(config_files, settings)
    check_labels(data, config)
    device = runtime.start(config)
    if config.model != "ssl_baseline" and not allow_cpu:
        llm.refuse_large_on_cpu(config.llm, device)
    features = open_features(store, config, device)
    every = datadir.read(data)
    utterances = [utt for utt in every if utt.utt_id not in features.rejected]
    if len(utterances) < len(every):
        typer.echo(
            f"{len(every) - len(utterances)} utterances are not trained on: {Path(store) / 'rejected.tsv'} says why",
            err=True,
        )
    trainer.train(utterances, features, config, exp, fold_of(data), device)


@verb
def decode(
    data: Data, store: StoreArg, exp: Exp,
    out: Annotated[Optional[Path], typer.Option("--out", help="hyp.jsonl to write; by default EXP/decode_<name of DATA>/hyp.jsonl.")] = None,
    settings: Set = None,
) -> None:  # fmt: skip
    """Caption a data directory with a trained experiment; the configuration is the experiment's own.

    Example: `serdesc decode data/mini/fold1/test dump/hubert-mini/mini exp/mini/fold1`
    """
    from serdesc import config as configs
    from serdesc import runtime
    from serdesc.builtin import resolve
    from serdesc.data import audio, datadir
    from serdesc.features.store import open_features
    from serdesc.files import exclusive_lock, read_json, write_json
    from serdesc.inference.decode import has_resumable_output, inputs_of
    from serdesc.inference.decode import decode as decode_to_file
    from serdesc.models import checkpoint

    target, exp = out or exp / f"decode_{data.name}" / "hyp.jsonl", Path(resolve(str(exp)))
    config = configs.load(exp / "config.yaml", settings)
    utterances, trained = datadir.read(data), checkpoint.finished(exp)
    with exclusive_lock(target):
        if (
            has_resumable_output(
                target, inputs_of(read_json(trained / "state.json"), config, utterances, store)
            )
            and target.exists()
        ):
            typer.echo(f"{target} is there already; remove it to decode again", err=True)
            return
        device = runtime.start(config)
        features = open_features(store, config, device, any_length=True)
        model, _ = checkpoint.load_model(exp, features, device, settings)
        audio.tell(decode_to_file(model, features, utterances, target), f"are not in {target}")
    if (
        target.parent.name.startswith("decode_")
        and not (record := target.parent.parent / "config.yaml").exists()
    ):
        configs.dump(config, record)  # an experiment of answers alone: `report` says what made them
        write_json(record.with_name("env.json"), runtime.environment())
    typer.echo(str(target))


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
    from serdesc.inference.describe import describe as run

    unusable = run(audio, model, as_json, settings or [])
    if unusable:
        raise FailedError(f"{unusable} of {len(audio)} files could not be used, as said above")
