"""One utterance as the page shows it: claims of the caption beside reference and measured sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from serdesc.captions import reader
from serdesc.captions.fields import VALUES, Fields
from serdesc.config import ScoringConfig
from serdesc.data.datadir import Utterance
from serdesc.data.descriptors import UNKNOWN, bin3
from serdesc.scoring import normalise
from serdesc.scoring.hypotheses import Hypothesis

Row = dict[str, Any]
CLAIMS = ("emotion", "pitch", "energy", "speed", "age", "gender", "emphasis")
# measure -> field, unit and decimals, of utt2measure.jsonl
UNITS = {
    "pitch": ("pitch", "Hz", 0),
    "energy": ("energy", "", 3),
    "speed": ("speed", "s a phoneme", 3),
    "rate": ("speed", "syllables/s", 1),
}


@dataclass(frozen=True)
class Context:
    """What the rows of one fold share."""

    fold: int  # index in the summary
    thresholds: Mapping[str, Any]  # thresholds.json; empty if nothing was measured
    measured: Mapping[str, Sequence[Mapping[str, Any]]]  # utterance -> rows of --faithful
    counts: Mapping[str, Mapping[str, Any]]  # utterance -> its line of rows.jsonl
    scoring: ScoringConfig
    level: bool  # energy is a level in dB


def row(utt: Utterance, hyp: Hypothesis, context: Context) -> Row:
    """The row of an utterance; values that are absent are left out."""
    reference = utt.labels or Fields()
    counts = context.counts.get(utt.utt_id, {})
    found: Row = {
        "id": utt.utt_id,
        "spk": utt.spk,
        "fold": context.fold,
        "sec": round(utt.seconds or 0.0, 3),
        **answer(hyp.response, hyp.fields, hyp.posterior),
        "ref": _values(reference),
        "right": right(counts),
    }
    if utt.caption:
        found["refcap"] = utt.caption
        found["refspans"] = spans(utt.caption)
    if reference.transcript is not None:
        said = hyp.fields.transcript
        found["words"] = aligned(reference.transcript, said or "", context.scoring)
        found["wer"] = _errors(found["words"])
    found["sound"] = _sound(utt, context)
    return found


def answer(
    response: str, fields: Fields, posterior: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """What a system answered: caption, spans, fields, posterior, and fields without a value."""
    found: Row = {"cap": response, "spans": spans(response), "hyp": _values(fields)}
    if posterior:
        found["post"] = {name: round(p, 4) for name, p in posterior.items()}
    return found


def spans(caption: str) -> dict[str, list[int]]:
    """Field -> start and end in UTF-16 units, as in JavaScript, of the words it was read from."""
    found = {}
    for name, (start, end) in reader.spans(caption).items():
        found[name] = [_units(caption[:start]), _units(caption[:end])]
    return found


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _values(fields: Fields) -> dict[str, Any]:
    return {name: value for name, value in fields.to_dict().items() if value is not None}


def right(counts: Mapping[str, Any]) -> dict[str, int]:
    """Field -> 1 if the caption is right, 0 if it is wrong, of the fields that are scored."""
    right = {}
    for name in (*VALUES, "emphasis"):
        counted = counts.get("ua" if name == "emotion" else name)
        if counted:
            right[name] = int(counted["right"])
    return right


def _sound(utt: Utterance, context: Context) -> dict[str, list[list[str]]]:
    """Field -> measures of the sound: number with unit, its class, and how it was measured."""
    sound: dict[str, list[list[str]]] = {}
    for name, number in (utt.measure or {}).items():
        if name in UNITS:
            field, unit, decimals = UNITS[name]
            unit = "dB" if name == "energy" and context.level else unit
            value = _class(utt, name, number, context.thresholds)
            text = f"{number:.{decimals}f} {unit}".strip()
            sound.setdefault(field, []).append([text, value, "measure of the labels"])
    for measured in context.measured.get(utt.utt_id, ()):
        if measured["kind"] == "independent":
            entry = ["", measured["true"], f"independent: {measured['measure']}"]
            sound.setdefault(measured["field"], []).append(entry)
    return sound


def _class(utt: Utterance, name: str, number: float, thresholds: Mapping[str, Any]) -> str:
    """The class of a measured number; empty without thresholds."""
    bounds = thresholds.get(name)
    if name == "pitch" and bounds:
        bounds = bounds.get(utt.gender or UNKNOWN)
    if not bounds:
        return ""
    field = UNITS[name][0]
    names = VALUES[field][::-1] if name == "speed" else VALUES[field]
    return bin3(number, tuple(bounds), names)


def aligned(reference: str, said: str, config: ScoringConfig) -> list[list[str]]:
    """Pairs of a reference word and a recognised word, as WER aligns them; one may be empty."""
    ref, hyp = normalise.split(reference, config), normalise.split(said, config)
    if ref == hyp:
        return [[word] for word in ref]
    if not ref:
        return [["", word] for word in hyp]
    import jiwer

    output = jiwer.process_words(" ".join(ref), " ".join(hyp))
    pairs: list[list[str]] = []
    for chunk in output.alignments[0]:
        before = ref[chunk.ref_start_idx : chunk.ref_end_idx]
        after = hyp[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "equal":
            pairs += [[word] for word in before]
            continue
        longer = max(len(before), len(after))
        before += [""] * (longer - len(before))
        after += [""] * (longer - len(after))
        pairs += [list(pair) for pair in zip(before, after)]
    return pairs


def errors_of(counts: Mapping[str, Any]) -> list[int]:
    """Errors and reference words of a line of rows.jsonl; empty if WER was not counted."""
    wer = counts.get("wer")
    if not wer:
        return []
    return [sum(wer[kind] for kind in ("substitutions", "deletions", "insertions")), wer["words"]]


def _errors(pairs: Sequence[Sequence[str]]) -> list[int]:
    """Errors and reference words."""
    errors = sum(len(pair) > 1 for pair in pairs)
    return [errors, sum(bool(pair[0]) for pair in pairs)]
