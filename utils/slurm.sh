#!/usr/bin/env bash
# As utils/run.sh, on a Slurm cluster: one sbatch array job, waited for.
#   utils/slurm.sh [--max-jobs M] [JOB=1:N | JOB="1 3 5"] LOG COMMAND...
# Site's options (partition, GPUs, memory, time) come from the variable slurm_options, which cmd.sh sets.
set -u
max_jobs=
[ "${1:-}" = --max-jobs ] && { max_jobs=%$2; shift 2; }
array=1
if [[ ${1:-} == JOB=* ]]; then range=${1#JOB=}; shift; array=${range/:/-}; array=${array// /,}; fi
log=$1; shift
mkdir -p "$(dirname "${log//JOB/1}")"
command=$(printf '%q ' "$@")
# shellcheck disable=SC2086
sbatch --parsable --wait --array="$array$max_jobs" --output="${log//JOB/%a}" --export=ALL ${slurm_options:-} \
  --wrap "${command//JOB/\$SLURM_ARRAY_TASK_ID}" >/dev/null || { echo "a Slurm job failed; see ${log//JOB/*}" >&2; exit 1; }
