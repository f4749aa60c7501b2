#!/usr/bin/env bash
# Score the same hypotheses with several Pythons under three locales and compare the bytes.
#   tools/bench/same_scores.sh python3.11 python3.12 python3.13    (default: those that are installed)
# Each Python gets an environment for scoring alone (tools/requirements-score.txt), without torch.
# Locales that the system lacks are made with localedef.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ $# -eq 0 ]; then
  for name in python3.11 python3.12 python3.13; do
    ! "$name" --version >/dev/null 2>&1 || set -- "$@" "$name"
  done
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools/venv/bin/python tools/bench/scoring.py --make "$work" --count 300
export LOCPATH=$work/locales
mkdir -p "$LOCPATH" "$work/source"
git ls-files -z | tar -c --null -T - | tar -x -C "$work/source"  # a build writes beside its source
for locale in it_IT tr_TR; do
  localedef -i $locale -f UTF-8 "$LOCPATH/$locale.UTF-8" 2>/dev/null ||
    echo "locale $locale is not available: it counts as C" >&2
done
number=0
for python in "$@"; do
  number=$((number + 1)) venv=$work/venv$number
  "$python" -m venv "$venv"
  pip() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
  pip -c tools/constraints.txt -r tools/requirements-score.txt
  pip --no-deps "$work/source"
  "$venv/bin/python" -c 'import importlib.util as i; assert not i.find_spec("torch"), "torch"'
  for locale in C it_IT.UTF-8 tr_TR.UTF-8; do
    env -u PYTHONUTF8 LC_ALL=$locale "$venv/bin/serdesc" score "$work/data" --hyp "$work/hyp.jsonl" \
      --out "$work/score.json" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    hash=$(cat "$work/score.json" "$work/rows.jsonl" | sha256sum | cut -c1-16)
    printf '%s  %-12s %s\n' "$hash" $locale "$("$python" --version)"
  done
done | tee "$work/all"
[ "$(cut -c1-16 "$work/all" | sort -u | wc -l)" -eq 1 ] && echo "the same bytes $(wc -l <"$work/all") times"
