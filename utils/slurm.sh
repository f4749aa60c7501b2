#!/usr/bin/env bash
# Run a command on a Slurm cluster, or one copy of it for each job number, and wait for the end:
#   slurm.sh [--max-jobs M] [--sbatch-option=value ...] [JOB=1:N | JOB="1 3 5"] LOG COMMAND...
# Job numbers and logs are those of local.sh. The jobs are one sbatch array; the batch script is for
# any POSIX sh. Two minutes before the time limit the command receives SIGUSR1; if it then ends with
# 75 (checkpointed, call again), the job is queued again.
set -u
limit="" options=(--signal=B:USR1@120 --open-mode=append)
while [[ ${1:-} == --* ]]; do
  if [ "$1" = --max-jobs ]; then limit=%$2; shift 2; else options+=("$1"); shift; fi
done
jobs=()
if [[ ${1:-} == JOB=* ]]; then
  range=${1#JOB=}; shift
  if [[ $range =~ ^([0-9]+):([0-9]+)$ ]]; then
    mapfile -t jobs < <(seq "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}")
  else
    read -ra jobs <<<"$range"
  fi
  [[ ${jobs[*]} =~ ^[0-9]+(\ [0-9]+)*$ ]] || {
    echo "slurm.sh: JOB=$range: expected JOB=1:N or numbers, for example JOB=\"1 3\"" >&2; exit 2; }
  options+=("--array=$(IFS=,; echo "${jobs[*]}")$limit")
fi

replace() { # replace TEXT NUMBER: set REPLY to TEXT with the number in place of JOB
  local rest=$1
  REPLY=
  while [ ${#jobs[@]} -gt 0 ] && [[ $rest == *JOB* ]]; do
    REPLY+=${rest%%JOB*} rest=${rest#*JOB}
    if [[ $rest == [[:alnum:]_]* ]]; then REPLY+=JOB; else REPLY+=$2; fi
  done
  REPLY+=$rest
}
quote() { # quote TEXT: set REPLY to one word of sh that is TEXT with the number of the array's task
  local apostrophe="'\\''" task=$'\001'
  replace "$1" "$task"
  REPLY=\'${REPLY//\'/"$apostrophe"}\'
  REPLY=${REPLY//"$task"/"'\"\$SLURM_ARRAY_TASK_ID\"'"}
}
log=$1; shift
for number in "${jobs[@]:-}"; do # Slurm makes no directories for its logs
  replace "$log" "$number"; mkdir -p "$(dirname "$REPLY")"
done
command=
for word in "$@"; do quote "$word"; command+="$REPLY "; done
quote "$(printf '%q ' "$@")"
script="printf '# %s\\n# started %s\\n' $REPLY \"\$(date)\"
trap 'kill -USR1 \$child' USR1
$command &
child=\$!
wait \$child; status=\$?
while kill -0 \$child 2>/dev/null; do wait \$child; status=\$?; done # a signal ends wait
printf '# ended %s with status %s\\n' \"\$(date)\" \$status
[ \$status -ne 75 ] || scontrol requeue \$SLURM_JOB_ID
exit \$status"
replace "${log//%/%%}" %a
sbatch --parsable --wait --export=ALL --output="$REPLY" ${options[@]+"${options[@]}"} \
  --wrap "$script" >/dev/null && exit
echo "a Slurm job failed:" >&2
for number in "${jobs[@]:-}"; do
  replace "$log" "$number"
  if ! tail -n 1 "$REPLY" 2>/dev/null | grep -q '^# ended .* with status 0$'; then
    echo "the end of $REPLY:"
    tail -n 30 "$REPLY" 2>/dev/null | sed 's/^/  /'
  fi
done >&2
exit 1
