#!/usr/bin/env bash
# Run a command on this machine, or one copy of it for each job number:
#   local.sh [--max-jobs M] [JOB=1:N | JOB="1 3 5"] LOG COMMAND...
# With JOB=, the number replaces JOB in LOG and COMMAND where no letter, digit or underscore
# follows: foldJOB, x.JOB.log, JOB/4; not kd/JOBS/f. At most M jobs run at a time; default: all.
# A log begins with the command and ends with its status. Exit status: the command's; of several
# jobs, 1 if any failed.
set -u
max_jobs=1000000
while [ "${1:-}" = --max-jobs ]; do max_jobs=$2; shift 2; done
jobs=("")
if [[ ${1:-} == JOB=* ]]; then
  range=${1#JOB=}; shift
  if [[ $range =~ ^([0-9]+):([0-9]+)$ ]]; then
    mapfile -t jobs < <(seq "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}")
  else
    read -ra jobs <<<"$range"
  fi
  [[ ${jobs[*]} =~ ^[0-9]+(\ [0-9]+)*$ ]] || {
    echo "local.sh: JOB=$range: expected JOB=1:N or numbers, for example JOB=\"1 3\"" >&2; exit 2; }
fi

replace() { # replace TEXT NUMBER: set REPLY to TEXT with the number in place of JOB
  local rest=$1
  REPLY=
  while [ -n "$2" ] && [[ $rest == *JOB* ]]; do
    REPLY+=${rest%%JOB*} rest=${rest#*JOB}
    if [[ $rest == [[:alnum:]_]* ]]; then REPLY+=JOB; else REPLY+=$2; fi
  done
  REPLY+=$rest
}
run_job() { # run_job NUMBER LOG COMMAND...
  local number=$1 log command=() name word child status
  replace "$2" "$number"; log=$REPLY
  for word in "${@:3}"; do replace "$word" "$number"; command+=("$REPLY"); done
  mkdir -p "$(dirname "$log")"
  { printf '#'; printf ' %q' "${command[@]}"; printf '\n# started %s\n' "$(date)"; } >"$log"
  "${command[@]}" >>"$log" 2>&1 </dev/null &
  child=$!
  trap 'kill $child 2>/dev/null; wait $child; exit 143' TERM
  wait $child; status=$?
  printf '# ended %s with status %s\n' "$(date)" $status >>"$log"
  [ $status -eq 0 ] || {
    [ -n "$number" ] && name="job $number" || name="the command"
    echo "$name failed with status $status; the end of $log:"
    tail -n 30 "$log" | sed 's/^/  /'
  } >&2
  return $status
}

trap 'kill $(jobs -p) 2>/dev/null; wait; exit 143' INT TERM  # ends the commands as well
failed=0
for number in "${jobs[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$max_jobs" ]; do wait -n || failed=$?; done
  run_job "$number" "$@" &
done
while [ -n "$(jobs -p)" ]; do wait -n || failed=$?; done
if [ "${#jobs[@]}" -gt 1 ] && [ $failed -ne 0 ]; then failed=1; fi
exit $failed
