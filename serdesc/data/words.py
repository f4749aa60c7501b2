"""Times of words: `ctm` in a corpus's data directory, `<utt_id> <channel> <start> <length> <word>`.

`serdesc prepare mini` writes it; for other corpora put the CTM of an alignment there, as Kaldi's
`steps/get_train_ctm.sh` or the Montreal Forced Aligner make it. Reports mark stressed words by it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serdesc.errors import UserError
from serdesc.files import read_lines

NAME = "ctm"
Times = list[list[Any]]  # start and length in seconds, word


def read(folder: Path) -> dict[str, Times]:
    """Utterance -> times of its words; empty without a file.

    Raises UserError with the line that is no CTM.
    """
    path = folder / NAME
    found: dict[str, Times] = {}
    for number, line in enumerate(read_lines(path) if path.exists() else [], start=1):
        cells = line.split()
        if not cells or line.startswith(";;"):
            continue
        try:
            utt_id, _, start, length, word = cells[:5]
            found.setdefault(utt_id, []).append([float(start), float(length), word])
        except ValueError:
            raise UserError(
                f"{path}:{number}: '{line[:60]}' where `utt_id channel start length word` is"
                " expected: correct or remove that line"
            ) from None
    return found
