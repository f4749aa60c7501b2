#!/usr/bin/env bash
# Set up, check style and types, and run all tests.
#   tests/run.sh              tests/run.sh -k store      (what follows goes to pytest, and style and types are left out)
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh
bin=tools/venv/bin
export PYTHONUTF8=1 TOKENIZERS_PARALLELISM=false
if [ $# -eq 0 ]; then
  $bin/black --check serdesc tests egs/*/local || { echo "formatting differs: $bin/black serdesc tests egs/*/local" >&2; exit 1; }
  $bin/flake8 serdesc tests egs/*/local
  $bin/mypy
fi
# Files side by side: fixtures of a file are made once. A core each, for the tests compute on one thread.
$bin/python -m pytest -n logical --maxprocesses 4 --dist loadfile "$@"
