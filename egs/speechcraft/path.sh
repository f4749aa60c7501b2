# Sourced by run.sh: the environment that every stage runs in.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
"$root/tools/setup.sh" || exit 1
export PATH="$root/tools/venv/bin:$root/utils:$PATH" LC_ALL=C.UTF-8 PYTHONUTF8=1 TOKENIZERS_PARALLELISM=false
export NUMBA_CACHE_DIR="${NUMBA_CACHE_DIR:-$root/tools/venv/numba}"
[ ! -f path.local.sh ] || . ./path.local.sh  # a site's own modules, proxies, HF_HOME, HF_HUB_OFFLINE=1
