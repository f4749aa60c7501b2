# Source this after the options: the stages of a script and the commands in them.
selected() { # selected N: true if stage N is between --stage and --stop-stage
  [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]
}
begin() { # begin N "description": print the title of stage N; false if the stage is not selected
  selected "$1" && echo "stage $1: $2" && { [ "$1" -ne 1 ] || need_gpu; }
}
run() { # run COMMAND...: execute the command, or with --dry-run print it so that it can be pasted
  if ! $dry_run; then "$@"; else printf ' %q' "$@" && echo; fi
}
show() { # show LOG...: print what commands wrote, without the launcher's lines and the progress
  $dry_run || grep -hv -e '^# ' -e ' s left$' "$@" || true
}
fail() { # fail "message": stop because of an error in the call
  echo "$0: $1" >&2
  exit 2
}
need_corpus() { # need_corpus "description": stop if stage 1 is selected without --corpus
  ! selected 1 || [ -n "$corpus" ] || $dry_run ||
    fail "--corpus DIR is needed: $1. README.md describes where to get it"
}
need_gpu() { # stop if GPU jobs do not see as many GPUs as a training shall have
  [ "${ngpu:-0}" -eq 0 ] || [[ ${conf[*]} == *device=cpu* ]] ||
    run ${dist_cmd:-$cuda_cmd} "$exp/gpus.log" python ../../tools/gpus.py --need "$ngpu" || exit 2
}
. "$(dirname "${BASH_SOURCE[0]}")/training.sh" # need_model, set_up, set_seed
