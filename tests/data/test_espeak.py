"""Synthesis by espeak-ng is reproducible."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def test_a_breathy_voice_is_the_same_whenever_it_speaks(tmp_path: Path) -> None:
    """espeak-ng seeds breath with the time of day, to a second; what mini's two breathy voices say
    must not depend on it.
    """
    code = (
        "import sys, numpy; from serdesc.data import espeak\ndef job(i): numpy.save(sys.argv[1],"
        " espeak.synthesise('<speak>all is quiet</speak>', 'en-us+f2')[0])\nespeak.run_forked(job,"
        " [0])"
    )
    for name in ("one", "other"):
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / f"{name}.npy")],
            check=True,
            cwd=Path(__file__).parents[2],
        )
        time.sleep(1.1)
    one, other = (np.load(tmp_path / f"{name}.npy") for name in ("one", "other"))
    assert len(one) > 10_000 and np.array_equal(one, other)
