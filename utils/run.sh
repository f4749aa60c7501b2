#!/usr/bin/env bash
# Run a command, or N copies of it side by side, on this machine:
#   utils/run.sh [--max-jobs M] [JOB=1:N | JOB="1 3 5"] LOG COMMAND...
# JOB in the log's name and in the command stands for the copy's number. Fails if any copy fails, and says whose log to read.
set -u
max_jobs=1000000
[ "${1:-}" = --max-jobs ] && { max_jobs=$2; shift 2; }
jobs=(1)
if [[ ${1:-} == JOB=* ]]; then
  range=${1#JOB=}; shift
  if [[ $range == *:* ]]; then mapfile -t jobs < <(seq "${range%%:*}" "${range##*:}"); else read -ra jobs <<<"$range"; fi
fi
log=$1; shift
one() { # one copy: its own log, which begins with the command
  local file=${log//JOB/$1} number=$1; shift
  local command=("${@//JOB/$number}")
  mkdir -p "$(dirname "$file")"
  printf '# %s\n# started %s\n' "${command[*]}" "$(date)" >"$file"
  "${command[@]}" >>"$file" 2>&1 </dev/null &
  local child=$! status
  trap 'kill $child 2>/dev/null; wait $child; exit 143' TERM
  wait $child; status=$?
  printf '# ended %s with status %s\n' "$(date)" $status >>"$file"
  [ $status -eq 0 ] || { echo "job $number failed with status $status; the end of $file:" >&2; tail -n 12 "$file" | sed 's/^/  /' >&2; }
  return $status
}
trap 'kill $(jobs -p) 2>/dev/null; wait; exit 143' INT TERM # with the commands that they run
failed=0
for job in "${jobs[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$max_jobs" ]; do wait -n || failed=1; done
  one "$job" "$@" &
done
while [ -n "$(jobs -p)" ]; do wait -n || failed=1; done
exit $failed
