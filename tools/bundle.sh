#!/usr/bin/env bash
# Put what compute nodes without internet need into one folder, with checksums. On a login node:
#   tools/bundle.sh --to ~/bundle
#   tools/bundle.sh --to ~/bundle --spice true --models "facebook/hubert-large-ls960-ft ..."
# Then on any node, with the same Python version:
#   BUNDLE=~/bundle tools/setup.sh         # installs from the folder alone
to=           # the folder; what is there is kept
models=       # Hugging Face ids, put into <to>/models/<name>: --set encoder.model=..., llm.model=...
spice=false   # also the jars of SPICE, put into <to>/spice: export SERDESC_SPICE=<to>/spice
. "$(dirname "$0")/../utils/parse_options.sh"
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
[ -n "$to" ] || { echo "$0: --to DIR is needed: the folder to write" >&2; exit 2; }
"$tools/setup.sh"
mkdir -p "$to"
to=$(cd "$to" && pwd)
python=$tools/venv/bin/python
sums() { # sums DIR: write DIR/SHA256SUMS
  (cd "$1" && find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum) >"$1.sums"
  mv "$1.sums" "$1/SHA256SUMS"
}

cd "$tools"
# TORCH_INDEX as for setup.sh: another source of torch's wheels
"$python" -m pip wheel --quiet --disable-pip-version-check --no-build-isolation -c constraints.txt \
  ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --wheel-dir "$to/wheels" pip setuptools "..[test]"
rm -f "$to"/wheels/serdesc-*.whl # the checkout itself is installed
"$python" -V >"$to/wheels/PYTHON"
sums "$to/wheels"
echo "$to/wheels: $(find "$to/wheels" -name '*.whl' | wc -l) packages for $("$python" -V)"
for id in $models; do
  "$python" -c 'import sys; from huggingface_hub import snapshot_download as get
get(sys.argv[1], local_dir=sys.argv[2], ignore_patterns=["*.h5", "*.msgpack", "*.onnx", "original/*"])' \
    "$id" "$to/models/${id##*/}"
  sums "$to/models/${id##*/}"
  echo "$to/models/${id##*/}: $id"
done
if $spice; then
  "$tools/get_spice.sh" --to "$to/spice"
  sums "$to/spice"
fi
