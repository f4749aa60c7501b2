# Sourced by stage.sh: the experiments that a recipe trains, and how.
need_model() { # need_model EXP "next step": stop if EXP is neither a trained nor a built-in model
  $dry_run || [ -d "$1/checkpoint" ] || [ -d "../../serdesc/builtin/$1/checkpoint" ] ||
    fail "$1 is no trained model: it has no directory checkpoint and is not built in. $2"
}
set_up() { # set_up EXP: device, dist_cmd, launch, allow; trained: EXP[/seed<s>] ...; decoded
  dist_cmd=${dist_cmd:-$cuda_cmd --gpu $ngpu}
  [ "$ngpu" -gt 0 ] || { conf+=(--set device=cpu); cuda_cmd=$train_cmd dist_cmd=$train_cmd; }
  launch=() allow=() trained=("$1") decoded=()
  [[ $ngpu -le 1 && $dist_cmd != *--nodes* ]] ||
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
