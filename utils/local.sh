#!/usr/bin/env bash
# Run a command on this machine, or one copy of it for each job number:
#   local.sh [OPTIONS] [JOB=1:N | JOB="1 3 5"] LOG COMMAND...
# With JOB=, the number replaces JOB in LOG and COMMAND where no letter, digit or underscore
# follows: foldJOB, x.JOB.log, JOB/4; not kd/JOBS/f. If some jobs failed, the next call runs these
# alone. A log begins with the command, host and time and ends with the code and seconds.
#   --max-jobs-run M  jobs at a time; default: all
#   --gpu N           each job has N of the GPUs that CUDA_VISIBLE_DEVICES or nvidia-smi names
#   --mem, --num-threads, --time, --nodes, --config     for clusters (slurm.sh); ignored here
# Exit status: the command's; of several jobs, 1 if any failed.
set -u
. "$(dirname "$0")/jobs.sh"
gpu=${options[gpu]:-0} slots=${options[max-jobs-run]:-${#jobs[@]}} cards=() pids=()
if [ "$gpu" -gt 0 ]; then
  list=${CUDA_VISIBLE_DEVICES-$(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null)} ||
    list=none # no nvidia-smi: one job at a time, on what there is
  if [ "$list" = none ]; then slots=1; else
    read -ra cards <<<"${list//[,$'\n']/ }"
    sets=$((${#cards[@]} / gpu))
    [ "$sets" -gt 0 ] || fail "--gpu $gpu, but ${#cards[@]} GPUs are visible: use fewer, or the CPU"
    [ "$slots" -lt "$sets" ] || slots=$sets
  fi
fi

run_job() { # run_job SLOT NUMBER COMMAND...
  local number=$2 name child status
  for_job "${@:2}"
  mkdir -p "$(dirname "$log")"
  printf '%s\n# started %s on %s\n' "$heading" "$(date)" "$(uname -n)" >"$log"
  if [ ${#cards[@]} -gt 0 ]; then
    CUDA_VISIBLE_DEVICES=$(IFS=,; echo "${cards[*]:$1 * gpu:gpu}")
    export CUDA_VISIBLE_DEVICES
    printf '# CUDA_VISIBLE_DEVICES=%s\n' "$CUDA_VISIBLE_DEVICES" >>"$log"
  fi
  SECONDS=0
  "${command[@]}" >>"$log" 2>&1 </dev/null &
  child=$!
  trap 'kill $child 2>/dev/null; wait $child; exit 143' TERM
  wait $child; status=$?
  printf '# ended %s with code %s after %s s\n' "$(date)" $status $SECONDS >>"$log"
  [ $status -eq 0 ] || {
    [ -n "$number" ] && name="job $number" || name="the command"
    echo "$name failed with code $status; $(end_of "$log")"
  } >&2
  return $status
}
find_slot() { # find_slot: set slot to one without a running job; false if there is none
  local running
  running=" $(jobs -rp | tr '\n' ' ')"
  for ((slot = 0; slot < slots; slot++)); do
    [[ $running == *" ${pids[slot]:-none} "* ]] || return 0
  done
  return 1
}

trap 'kill $(jobs -p) 2>/dev/null; wait; exit 143' INT TERM HUP  # ends the commands as well
failed=0
for number in "${jobs[@]}"; do
  until find_slot; do wait -n || failed=$?; done
  run_job "$slot" "$number" "$@" &
  pids[slot]=$!
done
while [ -n "$(jobs -p)" ]; do wait -n || failed=$?; done
if [ "${#numbers[@]}" -gt 1 ] && [ $failed -ne 0 ]; then failed=1; fi
exit $failed
