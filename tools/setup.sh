#!/usr/bin/env bash
# Create tools/venv with the versions of tools/constraints.txt and serdesc; skipped if it is current.
#   tools/setup.sh            PYTHON=python3.12 tools/setup.sh
#   BUNDLE=~/bundle tools/setup.sh         # without internet, from a folder of tools/bundle.sh
#   TORCH_INDEX=URL tools/setup.sh     torch from this index, such as PyTorch's for a CUDA version
set -euo pipefail
bundle=${BUNDLE:+$(realpath "$BUNDLE")}
cd "$(dirname "$0")"
stamp=venv/.serdesc-ready
current=$(cat constraints.txt ../setup.cfg setup.sh | cksum)
[ -z "${TORCH_INDEX:-}" ] && [ -f $stamp ] && [ "$(cat $stamp)" = "$current" ] && exit 0

fail() { echo "tools/setup.sh: $1" >&2; exit "${2:-2}"; }
python=${PYTHON:-python3}
other="PYTHON=/path/to/python3.11 $0"
command -v "$python" >/dev/null ||
  fail "$python was not found: install Python 3.11 or newer, or name one: $other"
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
  fail "$("$python" --version 2>&1) at $(command -v "$python"), but 3.11 to 3.13 is needed: $other"
needed=8 # GB, most of it for torch with CUDA; the CPU build needs 2
free=$(df -Pk . | awk 'NR == 2 {print int($4 / 1000000)}')
[ "$free" -ge "$needed" ] ||
  fail "$free GB are free in $(pwd), $needed are needed: free some, or move the checkout"

source=()
if [ -n "$bundle" ]; then
  [ -f "$bundle/wheels/SHA256SUMS" ] ||
    fail "BUNDLE=$BUNDLE: no wheels/SHA256SUMS in it: make it with tools/bundle.sh, with internet"
  made_for=$(cut -d. -f1,2 "$bundle/wheels/PYTHON") here=$("$python" -V | cut -d. -f1,2)
  [ "$made_for" = "$here" ] ||
    fail "BUNDLE=$BUNDLE is for $made_for, here is $here: PYTHON=/path/to/that/python $0"
  (cd "$bundle/wheels" && sha256sum --quiet -c SHA256SUMS >&2) ||
    fail "BUNDLE=$BUNDLE: files in it are damaged, as listed above: make it again" 1
  source=(--no-index --find-links "$bundle/wheels")
fi
echo "creating tools/venv with $("$python" --version), once; this takes a few minutes" >&2
[ -x venv/bin/python ] || "$python" -m venv venv ||
  fail "venv failed; on Debian and Ubuntu: apt install python3-venv" 1
pip() { venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
  "${source[@]}" "$@"; }
pip setuptools
[ -z "${TORCH_INDEX:-}" ] || # in place of another build of this version; then what it requires
  pip --force-reinstall --no-deps --index-url "$TORCH_INDEX" torch
pip ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --no-build-isolation -e "..[test]"
echo "$current" >$stamp
venv/bin/python gpus.py >&2
