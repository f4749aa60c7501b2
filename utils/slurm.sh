#!/usr/bin/env bash
# As utils/run.sh, on a Slurm cluster: one sbatch array job, waited for.
#   utils/slurm.sh [--max-jobs M] [JOB=1:N | JOB="1 3 5"] LOG COMMAND...
# Site's options (partition, GPUs, memory, time) come from the variable slurm_options, which cmd.sh sets.
set -u
limit=
[ "${1:-}" = --max-jobs ] && { limit=%$2; shift 2; }
jobs=(1)
if [[ ${1:-} == JOB=* ]]; then
  range=${1#JOB=}; shift
  if [[ $range == *:* ]]; then mapfile -t jobs < <(seq "${range%%:*}" "${range##*:}"); else read -ra jobs <<<"$range"; fi
fi
log=$1; shift
for job in "${jobs[@]}"; do mkdir -p "$(dirname "${log//JOB/$job}")"; done # Slurm makes no folders for its logs
command=$(printf '%q ' "$@")
array=$(IFS=,; echo "${jobs[*]}")
# shellcheck disable=SC2086
sbatch --parsable --wait --array="$array$limit" --output="${log//JOB/%a}" --export=ALL ${slurm_options:-} \
  --wrap "${command//JOB/\$SLURM_ARRAY_TASK_ID}" >/dev/null || { echo "a Slurm job failed; see ${log//JOB/*}" >&2; exit 1; }
