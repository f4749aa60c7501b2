#!/usr/bin/env bash
# Make tools/venv with the exact versions of tools/constraints.txt and serdesc in it. Safe to call again.
#   tools/setup.sh            PYTHON=python3.12 tools/setup.sh
set -euo pipefail
cd "$(dirname "$0")"
stamp=venv/.serdesc-ready
want=$(cat constraints.txt ../setup.cfg setup.sh | cksum)
[ -f $stamp ] && [ "$(cat $stamp)" = "$want" ] && exit 0

python=${PYTHON:-python3}
command -v "$python" >/dev/null || { echo "tools/setup.sh: no $python here: install Python 3.11 or newer, or name one: PYTHON=/path/to/python3.11 $0" >&2; exit 2; }
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
  echo "tools/setup.sh: $("$python" --version 2>&1) at $(command -v "$python"), but Python 3.11 to 3.13 is needed: PYTHON=/path/to/python3.11 $0" >&2; exit 2; }
need=8 # GB: torch with its CUDA parts is the most of it; the CPU build takes 2
free=$(df -Pk . | awk 'NR == 2 {print int($4 / 1000000)}')
[ "$free" -ge "$need" ] || { echo "tools/setup.sh: $free GB free in $(pwd), about $need are needed: make room or move the checkout" >&2; exit 2; }

echo "setting up tools/venv with $("$python" --version); once, a few minutes" >&2
[ -x venv/bin/python ] || "$python" -m venv venv || { echo "tools/setup.sh: venv failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt setuptools
venv/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -c constraints.txt -e "..[model,test]"
echo "$want" >$stamp
