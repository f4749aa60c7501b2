"""Time and size of a checkpoint of a configuration's models, and its share of training time.

Trains the first steps of a fold with and without a checkpoint after every step. Figures:
tools/bench/RESULTS.md.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from serdesc import config as configs
from serdesc import runtime
from serdesc.data import datadir
from serdesc.data.folds import fold_of
from serdesc.errors import Checkpointed
from serdesc.features.store import open_features
from serdesc.models import checkpoint
from serdesc.training import trainer
from serdesc.training.stopping import Due, Pace


def main() -> None:
    """Print seconds a step, seconds and MB a checkpoint, and the share at save_seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a fold's train folder")
    parser.add_argument("store", help="its feature store")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    config = configs.load(options.config, options.set)
    device = runtime.start(config)
    features = open_features(options.store, config, device)
    written: list[float] = []
    sizes: list[int] = []
    save, after_step = checkpoint.save, Pace.after_step

    def timed(folder: Path, *arguments: object) -> None:
        start = time.perf_counter()
        save(folder, *arguments)  # type: ignore[arg-type]
        written.append(time.perf_counter() - start)
        files = [path for path in (folder / checkpoint.NAME).rglob("*") if path.is_file()]
        sizes.append(sum(path.stat().st_size for path in files))

    def step(pace: Pace, steps: int) -> Due:
        durations.append(time.monotonic() - pace.last_step)
        after_step(pace, steps)
        return Due(True, len(durations) >= options.steps)

    durations: list[float] = []
    checkpoint.save, Pace.after_step = timed, step  # type: ignore[method-assign]
    folder = Path(tempfile.mkdtemp(dir="."))  # on the disk of the experiments, not in memory
    try:
        data = datadir.read(options.data)
        trainer.train(data, features, config, folder / "fold1", fold_of(options.data), device)
    except Checkpointed:
        pass
    finally:
        shutil.rmtree(folder)
    seconds = statistics.median(written)
    share = seconds / (config.training.save_seconds + seconds)
    print(f"step {statistics.median(durations):.3f} s (median of {len(durations)})")
    print(f"checkpoint {seconds:.3f} s (median of {len(written)}; longest {max(written):.3f} s)")
    print(f"size {statistics.median(sizes) / 1e6:.1f} MB")
    print(f"share {100 * share:.2f} % at training.save_seconds={config.training.save_seconds:g}")


if __name__ == "__main__":
    main()
