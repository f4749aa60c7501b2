"""Change the sound, and see whether the caption follows: pitch shifted, tempo stretched, loudness evened out or spread within the utterance.

The descriptor that belongs to a change should move its way; transcript, gender and emotion should stay. An utterance whose descriptor stood
at the end of the scale already cannot move and is counted apart. A caption is right to follow only where the measure behind the labels does:
its way stands beside, for SpeechCraft's pitch is no F0 and need not rise with it.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from serdesc.captions.fields import ENERGY, PITCH, SPEED, Fields
from serdesc.config import MeasureConfig
from serdesc.data import audio, descriptors
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.files import digest, read_json, write_json, written_aside
from serdesc.progress import progress
from serdesc.scoring import metrics
from serdesc.scoring.bootstrap import total
from serdesc.scoring.hypotheses import read_hypotheses

ORDER = {"pitch": PITCH, "speed": SPEED, "energy": ENERGY}
WINDOW = 1600  # samples over which loudness is taken: 0.1 s
VERSION = 1  # of the changes: recordings and answers of other versions are not taken


def _shifted(semitones: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(wave: np.ndarray) -> np.ndarray:
        from librosa.effects import pitch_shift

        return np.asarray(pitch_shift(wave, sr=audio.SAMPLE_RATE, n_steps=semitones))

    return change


def _stretched(rate: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(wave: np.ndarray) -> np.ndarray:
        from librosa.effects import time_stretch

        return np.asarray(time_stretch(wave, rate=rate))

    return change


def _dynamics(power: float) -> Callable[[np.ndarray], np.ndarray]:
    """Loudness around each sample to a power, the loudest left as it is: below 1 quiet parts come up, above 1 they sink."""

    def change(wave: np.ndarray) -> np.ndarray:
        loud = np.sqrt(np.convolve(wave**2, np.ones(WINDOW) / WINDOW, mode="same") + 1e-10)
        return np.asarray(wave * np.maximum(loud / loud.max(), 1e-2) ** (power - 1))

    return change


@dataclass(frozen=True)
class Change:
    field: str
    way: int  # +1: the descriptor should rise
    apply: Callable[[np.ndarray], np.ndarray]


CHANGES = {
    "pitch +4 semitones": Change("pitch", 1, _shifted(4)),
    "pitch -4 semitones": Change("pitch", -1, _shifted(-4)),
    "tempo x 1.3": Change("speed", 1, _stretched(1.3)),
    "tempo x 0.77": Change("speed", -1, _stretched(0.77)),
    "loudness evened out": Change("energy", 1, _dynamics(0.4)),
    "loudness spread": Change("energy", -1, _dynamics(2.0)),
}


def identities(utterances: Sequence[Utterance]) -> tuple[dict[str, str], list[audio.AudioError]]:
    """Utterance -> a hash of its samples, which what is made of them is named by; and what cannot be used."""
    found: dict[str, str] = {}
    unusable: list[audio.AudioError] = []
    for utt in utterances:
        try:
            found[utt.utt_id] = digest(
                VERSION,
                hashlib.sha256(
                    audio.load(utt.wav, span=utt.span, utt_id=utt.utt_id).tobytes()
                ).hexdigest(),
            )
        except audio.AudioError as error:
            unusable.append(error)
    return found, unusable


def changed(
    utterances: Sequence[Utterance], change: Change, folder: Path, samples: Mapping[str, str]
) -> list[Utterance]:
    """The utterances with changed recordings, which are written to `folder`, no louder than they were; `samples` are their identities."""
    import soundfile

    out = []
    for utt in utterances:
        path = folder / f"{utt.utt_id}-{samples[utt.utt_id]}.wav"
        if not path.exists():
            before = audio.load(utt.wav, span=utt.span, utt_id=utt.utt_id)
            after = change.apply(before)
            with written_aside(path) as aside:
                level = min(1.0, np.abs(before).max() / max(np.abs(after).max(), 1e-9))
                soundfile.write(aside, after * level, audio.SAMPLE_RATE, format="WAV")
        out.append(replace(utt, wav=str(path), span=None, seconds=audio.seconds(path)))
    return out


def measures(utterances: Sequence[Utterance], config: MeasureConfig) -> list[dict[str, float]]:
    """What the labels of pitch, energy and speed go by, of each recording."""
    out = []
    with progress("measure", len(utterances), "recordings") as advance:
        for utt in utterances:
            out.append(
                descriptors.measure(
                    audio.load(utt.wav, span=utt.span, utt_id=utt.utt_id), utt.text, config
                )
            )
            advance(1)
    return out


def rise(field: str, before: Mapping[str, float], after: Mapping[str, float]) -> float | None:
    """By how much a field's measure rose; None where it was not measured."""
    name = "rate" if field == "speed" and "rate" in before else field
    if name not in before or name not in after:
        return None
    return (after[name] - before[name]) * (-1 if name == "speed" else 1)  # seconds a phoneme


def followed(
    name: str, before: Sequence[Fields], after: Sequence[Fields], moved: Sequence[float | None]
) -> dict[str, Any]:
    """What a change did to the answers, in percent of the utterances whose descriptor was read before and could move.

    moved: by how much the labels' own measure of the descriptor rose.
    """
    change = CHANGES[name]
    order = ORDER[change.field]
    end = order[-1] if change.way > 0 else order[0]
    pairs = [(getattr(b, change.field), getattr(a, change.field)) for b, a in zip(before, after)]
    free = [(b, a, by) for (b, a), by in zip(pairs, moved) if b is not None and b != end]
    steps = [change.way * (order.index(a) - order.index(b)) for b, a, _ in free if a is not None]
    measured = [change.way * by > 0 for *_, by in free if by is not None]
    share = {
        "followed": sum(s > 0 for s in steps),
        "stayed": sum(s == 0 for s in steps),
        "against": sum(s < 0 for s in steps),
    }
    (wer,) = metrics.chosen("wer")
    counts = [
        c
        for b, a in zip(before, after)
        if wer.count and (c := wer.count(replace(b, transcript=b.transcript or ""), a))
    ]

    def kept(field: str) -> float | None:
        said = [
            (getattr(b, field), getattr(a, field))
            for b, a in zip(before, after)
            if getattr(b, field)
        ]
        return _percent(sum(b == a for b, a in said), len(said))

    return {
        "change": name,
        "field": change.field,
        "n": len(free),
        "at the end": sum(b == end for b, _ in pairs),
        **{key: _percent(value, len(free)) for key, value in share.items()},
        "measure moved": _percent(sum(measured), len(measured)),
        "words changed": round(
            wer.value(total(counts)), 2
        ),  # WER of the answer after, the answer before its reference
        "gender kept": kept("gender"),
        "emotion kept": kept("emotion"),
    }


def _percent(count: int, of: int) -> float | None:
    return round(100 * count / of, 2) if of else None


def run(
    utterances: Sequence[Utterance], exp: Path, out: Path, settings: list[str], limit: int
) -> list[dict[str, Any]]:
    """Decode the first `limit` utterances (in order of a hash of their ids) as they are and changed; counterfactual.json in `out`.

    Answers are kept under a hash of the checkpoint, the configuration, the change and the sound, so that no other model's are taken.
    Utterances whose audio cannot be used are named and left out.
    """
    from serdesc import config as configs
    from serdesc import runtime
    from serdesc.features.encoder import Encoder
    from serdesc.features.store import Live
    from serdesc.inference.decode import decode
    from serdesc.models import checkpoint

    if not (exp / "config.yaml").exists():
        raise UserError(
            f"--counterfactual {exp}: no experiment there (config.yaml is missing): name a fold's folder, for example exp/mini/fold1"
        )
    if limit < 1:
        raise UserError(f"--limit {limit}: not 1 or more")
    config = configs.load(exp / "config.yaml", [*settings, "decoding.posterior=false"])
    device = runtime.start(config)
    live = Live(Encoder.load(config.encoder, device))
    model, _ = checkpoint.load_model(exp, live, device, [*settings, "decoding.posterior=false"])
    chosen = sorted(utterances, key=lambda utt: hashlib.sha256(utt.utt_id.encode()).hexdigest())[
        :limit
    ]
    samples, unusable = identities(chosen)
    audio.tell(unusable, "are not changed")
    chosen = sorted((utt for utt in chosen if utt.utt_id in samples), key=lambda utt: utt.utt_id)
    if not chosen:
        raise UserError(
            f"--counterfactual {exp}: the audio of none of {len(unusable)} utterances can be used. Look at wav.scp of the data directory"
        )
    weights = read_json(checkpoint.finished(exp) / "state.json")["files"]
    settled = {
        section: values for section, values in asdict(config).items() if section != "scoring"
    }

    def answers(name: str, asked: Sequence[Utterance]) -> dict[str, Fields]:
        hyp = (
            out
            / "counterfactual"
            / f"{name.replace(' ', '_')}-{digest(weights, settled, name, samples)}.jsonl"
        )
        if not hyp.exists():
            audio.tell(decode(model, live, asked, hyp), f"are not in {hyp}")
        return {utt_id: hypothesis.fields for utt_id, hypothesis in read_hypotheses(hyp).items()}

    descriptors.compile_librosa(config.measure)
    before, sound = answers("unchanged", chosen), measures(chosen, config.measure)
    rows = []
    for name, change in CHANGES.items():
        made = changed(chosen, change, out / "counterfactual" / name.replace(" ", "_"), samples)
        after = answers(name, made)
        moved = {
            utt.utt_id: rise(change.field, *pair)
            for utt, *pair in zip(chosen, sound, measures(made, config.measure))
        }
        both = [utt_id for utt_id in before if utt_id in after]
        rows.append(
            followed(
                name,
                [before[utt_id] for utt_id in both],
                [after[utt_id] for utt_id in both],
                [moved[utt_id] for utt_id in both],
            )
        )
    write_json(out / "counterfactual.json", {"utterances": len(chosen), "changes": rows})
    return rows


def cells(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """As a table: a head, and a row a change."""
    keys = (
        "followed",
        "stayed",
        "against",
        "measure moved",
        "words changed",
        "gender kept",
        "emotion kept",
    )
    body = [
        [
            r["change"],
            r["field"],
            *("" if r[k] is None else f"{r[k]:.1f}" for k in keys),
            str(r["n"]),
            str(r["at the end"]),
        ]
        for r in rows
    ]
    return [["change", "should move", *(f"{k} %" for k in keys), "could move", "at the end"], *body]
