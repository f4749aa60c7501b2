#!/usr/bin/env bash
# Install, check style and types, and run the tests.
#   tests/run.sh                 everything; markers: recipes, slow, java, real_data
#   tests/run.sh --quick         style and the unit tests of every module, within a minute
#   tests/run.sh -k store        options of pytest: only these tests, without style and types
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh
bin=tools/venv/bin
sources="serdesc tests tools/*.py tools/bench egs/*/local"
export PYTHONUTF8=1 TOKENIZERS_PARALLELISM=false
style() {
  $bin/black --quiet --check $sources || {
    echo "the format differs: run $bin/black $sources" >&2; exit 1; }
  $bin/flake8 $sources
}
case "${1:-}" in
  "") style; $bin/mypy; set -- -m "not cluster" ;;  # that: tests/cluster/run.sh
  --quick) shift; style; set -- -m "not (slow or recipes or java or real_data or cluster)" "$@" ;;
esac
# Tests of one file share fixtures, so whole files run in parallel; each test computes on one thread.
$bin/python -m pytest -n logical --maxprocesses 4 --dist loadfile "$@"
