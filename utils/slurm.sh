#!/usr/bin/env bash
# Run a command on a Slurm cluster, or one copy of it for each job number, and wait for the end:
#   slurm.sh [OPTIONS] [JOB=1:N | JOB="1 3 5"] LOG COMMAND...
# Job numbers and logs are those of local.sh. The jobs are one sbatch array; the batch script is for
# any POSIX sh. Two minutes before the time limit the command receives SIGUSR1; if it then ends with
# 75 (checkpointed, call again), the job is queued again.
#   --mem 16G --num-threads 8 --time 1-0 --gpu N --nodes N    in conf/slurm.conf's words to sbatch
#   --max-jobs-run M        jobs of the array at a time
#   --config FILE           instead of conf/slurm.conf (default: slurm.conf beside this script)
#   --sbatch-option=value   any other option of sbatch, as it is
# With --nodes 2 or more the command is started once on each node, by srun.
set -u
. "$(dirname "$0")/jobs.sh"
config=${options[config]:-conf/slurm.conf}
[ -n "${options[config]:-}" ] || [ -f "$config" ] || config=$(dirname "$0")/slurm.conf
[ -f "$config" ] || fail "--config $config: no such file"
submit=()
unset chosen; declare -A chosen=()
mapfile -t lines < <(sed 's/^#.*//; s/[[:space:]]#.*//; /^[[:space:]]*$/d' "$config")
for text in "${lines[@]}"; do
  read -r kind words <<<"$text"
  name=${words%%=*} name=${name//_/-} text=${words#*=}
  case $kind in
    command) read -ra submit <<<"$words" ;;
    default) options[$name]=${options[$name]-$text} ;;
    option) ;;
    *) fail "$config: $kind: expected command, option or default" ;;
  esac
done
for text in "${lines[@]}"; do
  read -r kind text <<<"$text"
  name=${text%%=*} name=${name//_/-} text=${text#*=}
  [[ $kind == option && -n ${options[$name]-} ]] || continue
  wanted=${text%%[[:space:]]*}
  if [[ $wanted == "${options[$name]}" || ( $wanted == "*" && -z ${chosen[$name]-} ) ]]; then
    chosen[$name]=" ${text#"$wanted"}"
  fi
done
[ ${#submit[@]} -gt 0 ] || fail "$config: no line 'command sbatch ...'"
for name in "${!chosen[@]}"; do
  read -ra words <<<"${chosen[$name]//'$0'/"${options[$name]}"}"
  submit+=(${words[@]+"${words[@]}"})
done
base=${log_name##*/}
submit+=(--signal=B:USR1@120 --open-mode=append --job-name="${base%.log}" ${more[@]+"${more[@]}"})
if [ -n "${jobs[0]}" ]; then
  submit+=("--array=$(IFS=,; echo "${jobs[*]}")${options[max-jobs-run]:+%${options[max-jobs-run]}}")
fi

quote() { # quote TEXT: set REPLY to one word of sh that is TEXT with the number of the array's task
  local apostrophe="'\\''" task=$'\001'
  replace "$1" "${jobs[0]:+$task}"
  REPLY=\'${REPLY//\'/"$apostrophe"}\'
  REPLY=${REPLY//"$task"/"'\"\$SLURM_ARRAY_TASK_ID\"'"}
}
for number in "${jobs[@]}"; do # Slurm makes no directories for its logs
  for_job "$number" "$@"
  mkdir -p "$(dirname "$log")" && rm -f "$log"
done
task='$SLURM_JOB_ID'
[ -z "${jobs[0]}" ] || task='${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID'
line=
for word in "$@"; do quote "$word"; line+="$REPLY "; done
[ "${options[nodes]:-1}" -le 1 ] || line="srun --wait=120 $line"
quote "$(printf ' %q' "$@")"
script="printf '#%s\\n# started %s on %s\\n' $REPLY \"\$(date)\" \"\$(uname -n)\"
begun=\$(date +%s) again=
trap 'kill -USR1 \$child' USR1
trap 'kill -TERM \$child; again=1' TERM
$line &
child=\$!
wait \$child; status=\$?
while kill -0 \$child 2>/dev/null; do wait \$child; status=\$?; done # a signal ends wait
printf '# ended %s with code %s after %s s\\n' \"\$(date)\" \$status \$((\$(date +%s) - begun))
[ \$status -eq 0 ] || [ \$status -ne 75 -a -z \"\$again\" ] ||
  scontrol requeue $task
exit \$status"
replace "${log_name//%/%%}" "${jobs[0]:+%a}"
exec {answer}< <(exec "${submit[@]}" --parsable --wait --output="$REPLY" --wrap "$script")
sbatch=$! id=
trap 'scancel "${id%%;*}"; exit 143' INT TERM HUP # the jobs end with the script that runs them
read -r id <&$answer
wait $sbatch && exit
[ -n "$id" ] || { echo "slurm.sh: not submitted: ${submit[*]}" >&2; exit 1; }
echo "a Slurm job failed:" >&2
for number in "${jobs[@]}"; do
  for_job "$number" "$@"
  [[ $(tail -n 1 "$log" 2>/dev/null) == "# ended "*" with code 0 after "* ]] || end_of "$log"
done >&2
exit 1
