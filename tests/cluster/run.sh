#!/usr/bin/env bash
# Tests on a real Slurm of two nodes on this machine (tools/get_slurm.sh installs it; as root).
#   tests/cluster/run.sh          a killed node and three SIGKILLs
#   tests/cluster/run.sh --all    N = 1, 3, 8 jobs; a node killed in extraction, training, decoding;
#                                 preemption, time limit, a requeued task; training on two nodes
set -euo pipefail
cd "$(dirname "$0")/../.."
case "${1:-}" in
  --all) shift ;;
  *) set -- -k "stops_where or three_kills" "$@" ;;
esac
export PYTHONUTF8=1 TOKENIZERS_PARALLELISM=false
exec tools/venv/bin/python -m pytest -v -m cluster --durations=0 "$@" tests/cluster
