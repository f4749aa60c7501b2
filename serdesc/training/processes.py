"""torchrun for `serdesc train`: passes on SIGTERM and SIGUSR1, and exit code 75.

    python -m serdesc.training.processes --standalone --nproc-per-node 2 --no-python \\
      serdesc train ...

torchrun itself ends at SIGUSR1 and leaves its processes, and has exit code 1 whatever theirs are.
"""

from __future__ import annotations

import sys

from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from serdesc.errors import Checkpointed
from serdesc.training.stopping import SIGNALS

# Seconds for a step and a checkpoint after a signal; then the processes are killed.
OPTIONS = ("--signals-to-handle=SIGTERM,SIGUSR1,SIGINT,SIGHUP,SIGQUIT", "--shutdown-timeout=100")


def main() -> None:
    """Run torchrun with the command line's arguments."""
    try:
        run.main([*OPTIONS, *sys.argv[1:]])
    except SignalException as stopped:
        # Where they were killed, the checkpoint before is at most training.save_seconds old.
        if stopped.sigval in SIGNALS:
            sys.exit(Checkpointed.CODE)
        raise
    except ChildFailedError as failed:
        codes = [failure.exitcode for failure in failed.failures.values()]
        if Checkpointed.CODE in codes:
            sys.exit(Checkpointed.CODE)
        raise


if __name__ == "__main__":
    main()
