# Sourced by run.sh: the environment of every stage. It installs nothing: tools/setup.sh does.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH="$root/tools/venv/bin:$root/utils:$PATH" LC_ALL=C.UTF-8 PYTHONUTF8=1
export TOKENIZERS_PARALLELISM=false NUMBA_CACHE_DIR="${NUMBA_CACHE_DIR:-$root/tools/venv/numba}"
[ ! -f path.local.sh ] || . ./path.local.sh  # your site: modules, proxies, HF_HOME ...
