"""The answers of a system to the utterances of a data directory (formats.py reads the files)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Collection, Sequence

from serdesc.captions import reader
from serdesc.captions.fields import VALUES, Fields
from serdesc.data.datadir import Utterance
from serdesc.errors import UserError
from serdesc.scoring.formats import id_of, read

# Values that may be given beside the response: description, and a check.
OPTIONAL: dict[str, tuple[str, Callable[[Any], bool]]] = {
    name: (f"one of {', '.join(values)}", values.__contains__) for name, values in VALUES.items()
}
SUM = 0.02  # that the probabilities of a posterior may differ from 1: they are rounded


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_word_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_posterior(value: Any) -> bool:
    """Probabilities of emotions that sum to 1; decode rounds them."""
    if not isinstance(value, dict) or not set(value) <= set(VALUES["emotion"]):
        return False
    return all(map(_is_probability, value.values())) and abs(sum(value.values()) - 1) < SUM


def _is_probability(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value <= 1


OPTIONAL |= {
    "transcript": ("text", _is_text),
    "emphasis": ("a list of words", _is_word_list),
    "posterior": ('probabilities of emotions with sum 1, {"sad": 0.7, ...}', _is_posterior),
}


@dataclass(frozen=True)
class Hypothesis:
    """The response of a system to one utterance, and the fields read from it."""

    response: str
    fields: Fields
    posterior: dict[str, float] | None = None  # over the emotions
    decoded: bool = False  # written by `serdesc decode`


def read_hypotheses(path: Path) -> dict[str, Hypothesis]:
    """The hypotheses of a file in any of these formats, by utterance.

    Fields that a line does not give are read from its response. Raises UserError for duplicates.
    """
    hyps, duplicates = _read(path, (), False)
    if duplicates:
        listed = _listed(DUPLICATE, duplicates)
        raise UserError(f"{path}: {listed}: remove all but one of each")
    return hyps


DUPLICATE = "answered twice"
ERRORS = ("missing", DUPLICATE, "empty", "not in the data")


def answered(
    path: Path, utterances: Sequence[Utterance], wrong: bool = False, transcripts: bool = False
) -> tuple[dict[str, Hypothesis], dict[str, list[str]]]:
    """A hypothesis for every utterance, and the ids with an error, by kind (ERRORS).

    Raises UserError that lists all errors. With `wrong`, missing, duplicate and empty responses
    count as wrong, and responses to unknown utterances are ignored. An empty response that `serdesc
    decode` wrote is a prediction of the model: it counts as wrong and is not an error.
    transcripts: the answers are those of an ASR system, which may be empty.
    """
    known = {utt.utt_id for utt in utterances}
    hyps, duplicates = _read(path, known, transcripts)
    empty = [
        utt_id
        for utt_id, hyp in hyps.items()
        if not hyp.response.strip() and hyp.fields == Fields() and not hyp.decoded
    ]
    ids_of = (known - hyps.keys(), duplicates, known.intersection(empty), hyps.keys() - known)
    errors = {kind: sorted(ids) for kind, ids in zip(ERRORS, ids_of) if ids}
    if errors and not wrong:
        lines = "\n  ".join(_listed(kind, ids) for kind, ids in errors.items())
        raise UserError(
            f"{path}:\n  {lines}\nDecode the same data directory that is scored, or count these as "
            "wrong with --missing wrong."
        )
    complete: dict[str, Hypothesis] = {}
    unanswered = {utt_id for kind in ERRORS[:3] for utt_id in errors.get(kind, ())}
    for utt_id in sorted(known):
        complete[utt_id] = Hypothesis("", Fields()) if utt_id in unanswered else hyps[utt_id]
    return complete, errors


def _listed(kind: str, ids: Sequence[str], limit: int = 20) -> str:
    ellipsis = " ..." if len(ids) > limit else ""
    return f"{len(ids)} {kind}: {' '.join(ids[:limit])}{ellipsis}"


def _read(
    path: Path, known: Collection[str], transcripts: bool
) -> tuple[dict[str, Hypothesis], list[str]]:
    """The first response to each utterance, and the ids that occur more than once.

    An id that is not known may be the name of an audio file.
    """
    hyps: dict[str, Hypothesis] = {}
    duplicates: set[str] = set()
    for number, row in read(path, transcripts):
        row["utt_id"] = id_of(row["utt_id"], known)
        response = reader.without_thoughts(row["response"] or "")
        values = {name: row[name] for name in OPTIONAL if row.get(name) is not None}
        invalid = [
            f"{name} '{str(values[name])[:60]}': not {description}"
            for name, (description, is_valid) in OPTIONAL.items()
            if name in values and not is_valid(values[name])
        ]
        if invalid:
            raise UserError(
                f"{path}:{number}: {'; '.join(invalid)}. Remove it from the response to "
                f"{row['utt_id']}: fields that are not given are read from the response"
            )
        if row["utt_id"] in hyps:
            duplicates.add(row["utt_id"])
        else:
            fields = Fields(transcript=response)
            if not transcripts:
                fields = Fields.from_dict({**reader.read(response).to_dict(), **values})
            posterior = values.get("posterior")
            decoded = "unread" in row
            hyps[row["utt_id"]] = Hypothesis(response, fields, posterior, decoded)
    return hyps, sorted(duplicates)
