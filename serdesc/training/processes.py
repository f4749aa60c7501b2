"""torchrun for `serdesc train`: passes on SIGTERM and SIGUSR1, and exit code 75.

    python -m serdesc.training.processes --standalone --nproc-per-node 2 --no-python \\
      serdesc train ...

torchrun itself ends at SIGUSR1 and leaves its processes, and has exit code 1 whatever theirs are.
In a step that srun started on several nodes, once on each, --standalone is replaced by a c10d
rendezvous at the node that called srun, and --nproc-per-node counts the processes of one node.
"""

from __future__ import annotations

import os
import sys
from typing import Sequence

from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from serdesc.errors import Checkpointed
from serdesc.training.stopping import SIGNALS

# Seconds for a step and a checkpoint after a signal; then the processes are killed.
OPTIONS = ("--signals-to-handle=SIGTERM,SIGUSR1,SIGINT,SIGHUP,SIGQUIT", "--shutdown-timeout=100")


def on_all_nodes(arguments: Sequence[str]) -> list[str]:
    """The arguments of torchrun on this node of a Slurm step."""
    nodes = int(os.environ.get("SLURM_STEP_NUM_NODES", 1))
    if nodes == 1 or "--standalone" not in arguments:
        return list(arguments)
    job, address = int(os.environ["SLURM_JOB_ID"]), os.environ["SLURM_LAUNCH_NODE_IPADDR"]
    port = 20_000 + job % 10_000  # another one for each job on a node
    meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={address}:{port}", f"--rdzv-id={job}"]
    others = [argument for argument in arguments if argument != "--standalone"]
    return [f"--nnodes={nodes}", *meeting, *others]


def main() -> None:
    """Run torchrun with the command line's arguments."""
    try:
        run.main([*OPTIONS, *on_all_nodes(sys.argv[1:])])
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
