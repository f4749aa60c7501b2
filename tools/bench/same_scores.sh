#!/usr/bin/env bash
# The same answers scored by every Python at hand and under three locales: one score.json, byte for byte?
#   tools/bench/same_scores.sh python3.11 python3.12 python3.13        (default: those of them that are there)
# Each Python gets an environment with the scoring parts alone, no torch. Locales that the system lacks are made with localedef.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || for name in python3.11 python3.12 python3.13; do "$name" --version >/dev/null 2>&1 && set -- "$@" "$name"; done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools/venv/bin/python tools/bench/scoring.py --make "$work" --count 300
export LOCPATH=$work/locales
mkdir -p "$LOCPATH" "$work/source"
git ls-files -z | tar -c --null -T - | tar -x -C "$work/source"  # building leaves files where it builds
for locale in it_IT tr_TR; do localedef -i $locale -f UTF-8 "$LOCPATH/$locale.UTF-8" 2>/dev/null || echo "no locale $locale here: it counts as C" >&2; done
i=0
for python in "$@"; do
  i=$((i + 1))
  "$python" -m venv "$work/venv$i"
  "$work/venv$i/bin/python" -m pip install --quiet --disable-pip-version-check -c tools/constraints.txt "$work/source"
  "$work/venv$i/bin/python" -c 'import importlib.util; assert importlib.util.find_spec("torch") is None, "torch came along"'
  for locale in C it_IT.UTF-8 tr_TR.UTF-8; do
    env -u PYTHONUTF8 LC_ALL=$locale "$work/venv$i/bin/serdesc" score "$work/data" --hyp "$work/hyp.jsonl" --out "$work/score.json" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    printf '%s  %-12s %s\n' "$(cat "$work/score.json" "$work/rows.jsonl" | sha256sum | cut -c1-16)" $locale "$("$python" --version)"
  done
done | tee "$work/all"
[ "$(cut -c1-16 "$work/all" | sort -u | wc -l)" -eq 1 ] && echo "the same bytes $(wc -l <"$work/all") times"
