# Source this after the options: the stages of a script and the commands in them.
selected() { # selected N: true if stage N is between --stage and --stop-stage
  [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]
}
begin() { # begin N "description": print the title of stage N; false if the stage is not selected
  selected "$1" && echo "stage $1: $2"
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
need_model() { # need_model EXP "next step": stop if EXP is neither a trained nor a built-in model
  $dry_run || [ -d "$1/checkpoint" ] || [ -d "../../serdesc/builtin/$1/checkpoint" ] ||
    fail "$1 is no trained model: it has no directory checkpoint and is not built in. $2"
}
set_up() { # set_up EXP: device, launch and allow; trained: EXP[/seed<s>] ...; decoded: their parts
  [ "$ngpu" -gt 0 ] || { conf+=(--set device=cpu); cuda_cmd=$train_cmd; }
  launch=() allow=() trained=("$1") decoded=()
  [ "$ngpu" -le 1 ] ||
    launch=(python -m serdesc.training.processes --standalone --nproc-per-node "$ngpu" --no-python)
  ! $allow_cpu || allow=(--allow-cpu)
  [[ $seeds != *[[:space:]]* ]] || eval "trained=($(printf ' "$1"/seed%q' $seeds))"
  for part in $parts; do decoded+=("${trained[@]/%//foldJOB/decode_$part}"); done
}
set_seed() { # set_seed EXP: the option for the seed of an experiment in trained
  local seed=$seeds
  [[ $seeds != *[[:space:]]* ]] || seed=${1##*/seed}
  [ -z "$seed" ] || echo "--set=seed=$seed"
}
