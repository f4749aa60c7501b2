"""The utterances of a labelled part whose emotion is a label, not the assumption of read speech.

python local/with_emotion.py data/measured/fold1/train data/levels data/levels_emodb data/emotional
"""

from __future__ import annotations

import sys
from pathlib import Path

from serdesc.data import datadir


def main() -> None:
    labelled, *sources, out = map(Path, sys.argv[1:])
    known = {u.utt_id for source in sources for u in datadir.read(source) if u.emotion}
    kept = [utt for utt in datadir.read(labelled) if utt.utt_id in known]
    datadir.write(out, kept)
    print(f"{out}: {len(kept)} utterances")


if __name__ == "__main__":
    main()
