"""Counterfactual test: change the sound and test whether the caption follows.

Pitch and tempo are changed in the time domain by Praat (extra `praat`): pitch-synchronous
overlap-add moves the F0 and keeps the formants, overlap-add changes the tempo alone. Loudness is
compressed or expanded within the utterance by a gain over time. The descriptor of the changed
property should follow; transcript, gender and emotion should stay the same. Utterances whose
descriptor is at the end of its scale already are counted apart. Beside it stands in how many
utterances the labels' own measure followed: SpeechCraft's pitch is no F0 and need not rise with it.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from serdesc import config as configs
from serdesc import f0, runtime
from serdesc.captions.fields import ENERGY, PITCH, SPEED, Fields
from serdesc.config import MeasureConfig, ScoringConfig
from serdesc.data import audio, descriptors
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.features.encoder import Encoder
from serdesc.features.live import Live
from serdesc.files import atomic_path, digest, file_name, read_json, write_json
from serdesc.inference import decode
from serdesc.models import checkpoint
from serdesc.progress import progress
from serdesc.scoring import metrics
from serdesc.scoring.bootstrap import total
from serdesc.scoring.hypotheses import read_hypotheses

SCALES = {"pitch": PITCH, "speed": SPEED, "energy": ENERGY}  # from the lowest to the highest value
WINDOW = 1600  # samples of the loudness window: 0.1 s
VERSION = 2  # of the changes; recordings and hypotheses of other versions are not reused

Row = dict[str, Any]  # result of one change
Transform = Callable[[np.ndarray], np.ndarray]  # wave at 16 kHz -> wave


def _pitch_shift(semitones: float) -> Transform:
    def transform(wave: np.ndarray) -> np.ndarray:
        sound, call = _sound(wave), f0.praat().praat.call
        manipulation = call(sound, "To Manipulation", f0.HOP_SECONDS, f0.FLOOR, f0.CEILING)
        tier = call(manipulation, "Extract pitch tier")
        call(tier, "Multiply frequencies", sound.xmin, sound.xmax, 2 ** (semitones / 12))
        call([tier, manipulation], "Replace pitch tier")
        return _samples(call(manipulation, "Get resynthesis (overlap-add)"))

    return transform


def _time_stretch(rate: float) -> Transform:
    def transform(wave: np.ndarray) -> np.ndarray:
        call = f0.praat().praat.call
        return _samples(
            call(_sound(wave), "Lengthen (overlap-add)", f0.FLOOR, f0.CEILING, 1 / rate)
        )

    return transform


def _sound(wave: np.ndarray) -> Any:
    return f0.praat().Sound(wave.astype(float), audio.SAMPLE_RATE)


def _samples(sound: Any) -> np.ndarray:
    return np.asarray(sound.values[0], np.float32)


def _dynamics(power: float) -> Transform:
    """Loudness to a power relative to its maximum: below 1 compresses, above 1 expands."""

    def transform(wave: np.ndarray) -> np.ndarray:
        loud = np.sqrt(np.convolve(wave**2, np.ones(WINDOW) / WINDOW, mode="same") + 1e-10)
        return np.asarray(wave * np.maximum(loud / loud.max(), 1e-2) ** (power - 1))

    return transform


@dataclass(frozen=True)
class Change:
    field: str
    direction: int  # +1: the descriptor should rise
    transform: Transform


CHANGES = {
    "pitch +4 semitones": Change("pitch", 1, _pitch_shift(4)),
    "pitch -4 semitones": Change("pitch", -1, _pitch_shift(-4)),
    "tempo x 1.3": Change("speed", 1, _time_stretch(1.3)),
    "tempo x 0.77": Change("speed", -1, _time_stretch(0.77)),
    "loudness evened out": Change("energy", 1, _dynamics(0.4)),
    "loudness spread": Change("energy", -1, _dynamics(2.0)),
}


def sample_hashes(
    utterances: Sequence[Utterance],
) -> tuple[dict[str, str], list[audio.AudioError]]:
    """Utterance -> hash of its samples, part of the names of cached files; and errors."""
    hashes: dict[str, str] = {}
    rejected: list[audio.AudioError] = []
    for utt in utterances:
        try:
            samples = _load(utt).tobytes()
        except audio.AudioError as error:
            rejected.append(error)
        else:
            hashes[utt.utt_id] = digest(VERSION, hashlib.sha256(samples).hexdigest())
    return hashes, rejected


def _load(utt: Utterance) -> np.ndarray:
    return utt.load_audio()


def transform_all(
    utterances: Sequence[Utterance], change: Change, folder: Path, hashes: Mapping[str, str]
) -> list[Utterance]:
    """The utterances with transformed recordings in `folder`, at most as loud as before (peak)."""
    import soundfile

    transformed = []
    for utt in utterances:
        path = folder / f"{file_name(utt.utt_id)}-{hashes[utt.utt_id]}.wav"
        if not path.exists():
            before = _load(utt)
            after = change.transform(before)
            gain = min(1.0, np.abs(before).max() / max(np.abs(after).max(), 1e-9))
            with atomic_path(path) as temporary:
                soundfile.write(temporary, after * gain, audio.SAMPLE_RATE, format="WAV")
        seconds = audio.seconds(path)
        transformed.append(replace(utt, wav=str(path), span=None, channel=None, seconds=seconds))
    return transformed


def label_measures(
    utterances: Sequence[Utterance], config: MeasureConfig
) -> list[dict[str, float]]:
    """The measures behind the labels of pitch, energy and speed, of each recording."""
    measured = []
    with progress("measure", len(utterances), "recordings") as advance:
        for utt in utterances:
            measured.append(descriptors.measure(_load(utt), utt.text, config))
            advance(1)
    return measured


def rise(field: str, before: Mapping[str, float], after: Mapping[str, float]) -> float | None:
    """Increase of a field's measure; None if it was not measured."""
    name = "rate" if field == "speed" and "rate" in before else field
    if name not in before or name not in after:
        return None
    increase = after[name] - before[name]
    return -increase if name == "speed" else increase  # `speed` is seconds per phoneme


def followed(
    name: str, before: Sequence[Fields], after: Sequence[Fields], rises: Sequence[float | None]
) -> Row:
    """Effect of a change, in percent of the utterances whose descriptor was read and could follow.

    rises: increase of the labels' own measure of each utterance.
    """
    change = CHANGES[name]
    scale = SCALES[change.field]
    end = scale[-1] if change.direction > 0 else scale[0]
    at_end, could_follow, steps, measured = 0, 0, [], []
    for old, new, increase in zip(before, after, rises):
        old_value, new_value = getattr(old, change.field), getattr(new, change.field)
        at_end += old_value == end
        if old_value is None or old_value == end:
            continue
        could_follow += 1
        if new_value is not None:
            step = change.direction * (scale.index(new_value) - scale.index(old_value))
            steps.append(step)
        if increase is not None:
            measured.append(change.direction * increase > 0)
    return {
        "change": name,
        "field": change.field,
        "n": could_follow,
        "at the end": at_end,
        "followed": _percent(sum(step > 0 for step in steps), could_follow),
        "stayed": _percent(steps.count(0), could_follow),
        "against": _percent(sum(step < 0 for step in steps), could_follow),
        "measure moved": _percent(sum(measured), len(measured)),
        "words changed": _word_changes(before, after),
        "gender kept": _unchanged("gender", before, after),
        "emotion kept": _unchanged("emotion", before, after),
    }


def _word_changes(before: Sequence[Fields], after: Sequence[Fields]) -> float | None:
    """WER of the transcripts after the change, with those before it as reference.

    None if there were no words before.
    """
    (wer,) = metrics.chosen("wer")
    assert wer.transcript
    counts = []
    for old, new in zip(before, after):
        counts.append(wer.transcript(old.transcript or "", new.transcript, ScoringConfig()))
    value = wer.value(total(counts))
    return None if math.isnan(value) else round(value, 2)


def _unchanged(field: str, before: Sequence[Fields], after: Sequence[Fields]) -> float | None:
    """Percent of the utterances with the same value, of those that had one."""
    pairs = [(getattr(old, field), getattr(new, field)) for old, new in zip(before, after)]
    present = [pair for pair in pairs if pair[0]]
    return _percent(sum(old == new for old, new in present), len(present))


def _percent(count: int, total: int) -> float | None:
    return round(100 * count / total, 2) if total else None


class CounterfactualTest:
    """A trained model, its settings and the utterances under test."""

    def __init__(
        self, utterances: Sequence[Utterance], exp: Path, out: Path, settings: list[str]
    ) -> None:
        f0.praat()  # before anything is decoded
        settings = [*settings, "decoding.posterior=false"]
        self.config = configs.load(exp / "config.yaml", settings)
        device = runtime.start(self.config)
        self.live = Live(Encoder.load(self.config.encoder, device))
        self.model, _ = checkpoint.load_model(exp, self.live, device, settings)
        self.weights = read_json(checkpoint.finished(exp) / "state.json")["files"]
        self.out = out / "counterfactual"
        self.hashes, rejected = sample_hashes(utterances)
        audio.print_rejected(rejected, "are not changed")
        usable = [utt for utt in utterances if utt.utt_id in self.hashes]
        self.utterances = sorted(usable, key=lambda utt: utt.utt_id)
        if not usable:
            raise UserError(
                f"--counterfactual {exp}: none of {len(rejected)} utterances has usable audio."
                " Check wav.scp of the data directory"
            )

    def run(self) -> list[Row]:
        """Decode the utterances unchanged and after each change."""
        descriptors.compile_librosa(self.config.measure)
        before = self._decode("unchanged", self.utterances)
        measured = label_measures(self.utterances, self.config.measure)
        return [self._run_change(name, before, measured) for name in CHANGES]

    def _run_change(
        self, name: str, before: dict[str, Fields], measured: list[dict[str, float]]
    ) -> Row:
        change, folder = CHANGES[name], self.out / name.replace(" ", "_")
        transformed = transform_all(self.utterances, change, folder, self.hashes)
        after = self._decode(name, transformed)
        rises = {}
        measured_after = label_measures(transformed, self.config.measure)
        for utt, old, new in zip(self.utterances, measured, measured_after):
            rises[utt.utt_id] = rise(change.field, old, new)
        both = [utt_id for utt_id in before if utt_id in after]
        fields_before = [before[utt_id] for utt_id in both]
        fields_after = [after[utt_id] for utt_id in both]
        return followed(name, fields_before, fields_after, [rises[utt_id] for utt_id in both])

    def _decode(self, name: str, utterances: Sequence[Utterance]) -> dict[str, Fields]:
        """Fields of the captions, cached under a hash of weights, settings, change and samples."""
        settings = asdict(self.config)
        del settings["scoring"], settings["report"]
        del settings["decoding"]["branches"], settings["decoding"]["cut_seconds"]
        key = digest(self.weights, settings, name, self.hashes)
        hyp = self.out / f"{name.replace(' ', '_')}-{key}.jsonl"
        if not hyp.exists():
            rejected = decode.decode(self.model, self.live, utterances, hyp, False)
            audio.print_rejected(rejected, f"are not in {hyp}")
        hypotheses = read_hypotheses(hyp)
        return {utt_id: hypothesis.fields for utt_id, hypothesis in hypotheses.items()}


def first_by_hash(utterances: Sequence[Utterance], limit: int) -> list[Utterance]:
    """The first `limit` utterances, in order of a hash of their ids. Raises UserError."""
    if limit < 1:
        raise UserError(f"--limit {limit}: not 1 or more")

    def id_hash(utt: Utterance) -> str:
        return hashlib.sha256(utt.utt_id.encode()).hexdigest()

    return sorted(utterances, key=id_hash)[:limit]


def run(
    utterances: Sequence[Utterance], exp: Path, out: Path, settings: list[str], limit: int
) -> list[Row]:
    """Test the first `limit` utterances, in order of a hash of their ids; writes
    counterfactual.json.

    Utterances without usable audio are reported and left out. Raises UserError without an
    experiment.
    """
    if not (exp / "config.yaml").exists():
        raise UserError(
            f"--counterfactual {exp}: no experiment there (config.yaml is missing): name a fold's "
            "folder, for example exp/mini/fold1"
        )
    test = CounterfactualTest(first_by_hash(utterances, limit), exp, out, settings)
    rows = test.run()
    write_json(out / "counterfactual.json", {"utterances": len(test.utterances), "changes": rows})
    return rows


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """A table: its head, and a row per change."""
    percentages = (
        "followed",
        "stayed",
        "against",
        "measure moved",
        "words changed",
        "gender kept",
        "emotion kept",
    )
    heads = [f"{key} %" for key in percentages]
    table = [["change", "should move", *heads, "could move", "at the end"]]
    for row in rows:
        values = ["" if row[key] is None else f"{row[key]:.1f}" for key in percentages]
        table.append([row["change"], row["field"], *values, str(row["n"]), str(row["at the end"])])
    return table
