# Sourced by egs/*/run.sh after its own defaults: the options that every recipe has, the environment, and the stages they share.
: "${stage:=1}" "${stop_stage:=7}" "${nj:=2}" "${ngpu:=0}" "${folds:=1 2 3 4 5}" "${tag:=}" "${init:=}" "${set:=}" "${dry_run:=false}" "${adapt:=}"
: "${max_disk:=}" "${baselines:=true}" "${checked:=false}" "${faithful:=false}"
cd "$(dirname "$0")" || exit 1
. ../../utils/parse_options.sh
. ./path.sh
. ./cmd.sh
set -euo pipefail

settings() { # settle the options: --config and --set as the verbs take them, one command for one and for several GPUs
  local setting
  with=(--config "$config")
  [ "$init" != none ] || init=
  for setting in $set ${init:+training.init=$init}; do with+=(--set "$setting"); done
  [ "$ngpu" -gt 0 ] || with+=(--set device=cpu)
  train="serdesc train"
  [ "$ngpu" -le 1 ] || train="torchrun --standalone --nproc-per-node $ngpu --no-python serdesc train"
}
begin() { # begin N WHAT: is stage N asked for?
  [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ] && echo "stage $1: $2"
}
do_() { # run a command; with --dry-run only print it
  if $dry_run; then printf ' %q' "$@"; echo; else "$@"; fi
}
need_corpus() { # the corpus must be named, unless nothing is done
  [ -n "$corpus" ] || $dry_run || { echo "$0: --corpus DIR is needed: $1; README.md says where to get it" >&2; exit 2; }
}
prepare_and_label() { # stages 1 and 2 of a corpus that was downloaded: its name, and what its folder is known by
  local name=$1
  if begin 1 "prepare $data"; then
    need_corpus "$2"
    do_ serdesc prepare "$name" "$corpus" "$data" "${with[@]}" --nj "$nj"
    ! $checked || do_ serdesc check "$data" --corpus "$name" --nj "$nj"
  fi
  if begin 2 "measure, and label every fold of $labelled by its training part"; then
    do_ serdesc annotate "$data" --out "$labelled" "${with[@]}" --nj "$nj"
  fi
}
extract_to_report() { # stages 3 to 7: data has all utterances, labelled their folds, dump the features, exp the models
  if begin 3 "extract features of $data to $dump"; then
    do_ $cmd JOB=1:"$nj" "$dump/log/extract.JOB.log" \
      serdesc extract "$data" "$dump" "${with[@]}" --shard JOB/"$nj" ${max_disk:+--max-disk "$max_disk"}
    $dry_run || grep -hs "computed live" "$dump/log/extract.1.log" || true
  fi
  [ "$adapt" = false ] || fold_by_fold "$exp"
  # recipes with the option --adapt put the model that they start from beside it, as it is
  [ -z "$adapt" ] || [ -z "$init" ] || fold_by_fold "$exp-zero-shot"
}
fold_by_fold() { # stages 4 to 7 of one experiment; zero-shot ones train nothing and decode with the model they start from
  local exp=$1 model=$1/foldJOB
  if [[ $exp == *-zero-shot ]]; then
    model=$init
  elif begin 4 "train folds $folds in $exp"; then
    do_ $cmd JOB="$folds" "$exp/foldJOB/train.log" $train "$labelled/foldJOB/train" "$dump" "$exp/foldJOB" "${with[@]}"
  fi
  if begin 5 "decode the test parts with $model"; then
    do_ $cmd JOB="$folds" "$exp/foldJOB/decode.log" \
      serdesc decode "$labelled/foldJOB/test" "$dump" "$model" --out "$exp/foldJOB/decode_test/hyp.jsonl"
  fi
  score_and_report
}
score_and_report() { # stages 6 and 7; options for `serdesc score` may follow
  if begin 6 "score $exp"; then
    local side_by_side=("$folds") some
    if $faithful; then # the first fold measures every wav, the others find that done
      read -ra side_by_side <<<"$folds"
      set -- --faithful --nj "$nj" "$@"
    fi
    for some in "${side_by_side[@]}"; do
      do_ $cmd JOB="$some" "$exp/foldJOB/score.log" \
        serdesc score "$labelled/foldJOB/test" --hyp "$exp/foldJOB/decode_test/hyp.jsonl" "${with[@]}" "$@"
    done
    ! $baselines || do_ serdesc baselines "$labelled" --out "$exp/baselines.json" "${with[@]}" --nj "$nj"
  fi
  if begin 7 "report $exp"; then
    do_ serdesc report "$exp" "${with[@]}"
  fi
}
