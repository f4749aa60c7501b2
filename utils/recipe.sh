# Sourced by egs/*/run.sh after its own defaults: the options that every recipe has, the environment, and the stages they share.
: "${stage:=1}" "${stop_stage:=8}" "${nj:=2}" "${ngpu:=0}" "${folds:=1 2 3 4 5}" "${tag:=}" "${init:=}" "${set:=}" "${dry_run:=false}" "${adapt:=}"
: "${max_disk:=}" "${baselines:=true}" "${checked:=false}" "${faithful:=false}"
default_config=$config
# --system NAME: one of the paper's systems (serdesc/systems) in place of the recipe's; --systems "NAME ..." or all: one after the other, and the
# tables; those that are not rows 4 to 7 of Table 2 take --other-folds. Systems of which the recipe has no encoder stand in `without`. A sweep by
# another configuration or label set, or with a --tag, has a folder of its own in exp.
# A recipe's default_init is where its own system starts, its system_init where those of the tables do (SYSTEM: the name).
: "${list:=}" "${of_data:=}" "${of_folds:=}" "${of_dump:=}"
: "${system:=}" "${systems:=}" "${other_folds:=}" "${without:=}" "${default_init:=}" "${system_init:=}"
. "$(dirname "$0")/../../utils/parse_options.sh"
here=$PWD
cd "$(dirname "$0")" || exit 1
. ./path.sh
. ./cmd.sh
set -euo pipefail

from_here() { # relative paths start where the recipe was called; a configuration or model that is not there is the recipe's own
  local name
  [ "$here" != "$PWD" ] || return 0
  for name in corpus gigaspeech list refs config init; do
    case ${!name:-/} in
      /*) ;;
      *) [[ $name =~ ^(config|init)$ && ! -e $here/${!name} ]] || printf -v "$name" %s "$here/${!name}" ;;
    esac
  done
}
from_here
for setting in $set; do # what is prepared or labelled otherwise than the configuration says lies in a folder that says so
  case $setting in
    prepare.gigaspeech=* | prepare.recordings=*) ;;
    prepare.*) of_data+=-${setting#prepare.} ;;
    folds.* | measure.*) of_folds+=-${setting#*.} ;;&
    folds.labels=*) of_dump+=-${setting#*.} ;;
  esac
done
for setting in of_data of_folds of_dump; do printf -v "$setting" %s "${!setting//[^A-Za-z0-9._-]/-}"; done
of_folds=$of_data$of_folds of_dump=$of_data$of_dump
need_model() { # the model that is started from, or asked, must be there before anything is done; built-in ones are
  $dry_run || [ "$stage" -gt 5 ] || [ "$stop_stage" -lt 4 ] || [ -d "$1/checkpoint" ] || [ -d "../../serdesc/builtin/$1/checkpoint" ] || {
    echo "$0: $1 is no trained model: no folder checkpoint in it, and it is none of the built-in ones. $2" >&2; exit 2; }
}
settings() { # settle the options: --config and --set as the verbs take them, one command for one and for several GPUs
  local setting from=$init
  [ -n "$from" ] || if [ -n "$system$systems" ]; then from=$system_init; else from=$default_init; fi
  start=${from//SYSTEM/$system}
  given=(--config "$config") # of every system
  for setting in $set; do given+=(--set "$setting"); done
  with=("${given[@]}" ${system:+--config "$system"})
  [ "$systems" != all ] || systems=$(for file in {../../serdesc,${SERDESC_PLUGINS:-/none}}/systems/*.yaml; do [ ! -e "$file" ] || basename "$file" .yaml; done)
  [ -z "$system" ] || tag=${tag:-$system}
  [[ $start != none && $system != ssl_* ]] || start=
  for setting in ${system:-${systems:-own}}; do
    [[ ${from:-none} == none || $setting == ssl_* ]] ||
      need_model "${from//SYSTEM/$setting}" "Train it first, name another with --init EXP, or start from none: --init none"
  done
  [ -z "$start" ] || with+=(--set "training.init=$start")
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
prepare_and_label() { # stages 1 and 2 of a corpus in the folder $corpus: its name, and what that is known by; options of prepare may follow
  local name=$1
  if begin 1 "prepare $data"; then
    need_corpus "$2"
    do_ serdesc prepare "$name" "$corpus" "$data" "${with[@]}" --nj "$nj" "${@:3}"
    ! $checked || do_ serdesc check "$data" --corpus "$name" ${list:+--list "$list"} --nj "$nj"
  fi
  if begin 2 "labels and captions for every fold, in $labelled"; then
    do_ serdesc annotate "$data" --out "$labelled" "${with[@]}" --nj "$nj"
    ! $checked || [ "$labelled" = "$data" ] || do_ serdesc check "$labelled" --corpus "$name"
  fi
}
extract() { # stage 3
  if begin 3 "extract features of $data to $dump"; then
    do_ $cmd JOB=1:"$nj" "$dump/log/extract.JOB.log" \
      serdesc extract "$data" "$dump" "${with[@]}" --shard JOB/"$nj" ${max_disk:+--max-disk "$max_disk"}
    $dry_run || grep -hs "computed live" "$dump/log/extract.1.log" || true
  fi
}
extract_to_report() { # stages 3 to 7: data has all utterances, labelled their folds, dump the features, exp the models
  [ -z "$systems" ] || { each_system; return; }
  store_of_encoder
  extract
  adapted_and_not
}
store_of_encoder() { # features of another encoder than the recipe's lie in a store beside its own
  local own asked
  [[ -n $system || " $set" == *" encoder.model="* ]] || return 0
  own=$(serdesc config encoder.model --config "$config") asked=$(serdesc config encoder.model "${with[@]}")
  [ "$own" = "$asked" ] || { asked=${asked%/} dump+=-${asked##*/}; }
}
adapted_and_not() { # recipes with the option --adapt put the model that they start from beside it, as it is
  [ "$adapt" = false ] || fold_by_fold "$exp"
  [ -z "$adapt" ] || [ -z "$start" ] || fold_by_fold "$exp-zero-shot"
}
each_system() { # the sweep: what is finished is not done again
  local first=$folds common=$dump sweep=exp
  [ -z "$tag" ] && [ "$config" = "$default_config" ] && [ -z "$of_folds" ] || sweep=exp/${tag:-$(basename "$config" .yaml)$of_folds}
  baselines=false tag=
  for system in $systems; do
    exp=$sweep/$system dump=$common folds=$first
    if [[ " $without " == *" $system "* ]]; then
      $dry_run || { mkdir -p "$exp"; echo "no encoder in this recipe" >"$exp/not_run.txt"; }
      continue
    fi
    case $system in no_disentanglement | ser_asr | ser_sed | full) ;; *) folds=${other_folds:-$first} ;; esac
    settings
    store_of_encoder
    extract
    adapted_and_not
  done
  if begin 8 "the paper's tables, filled"; then
    do_ serdesc baselines "$labelled" --out "$sweep/baselines.json" "${given[@]}" --nj "$nj"
    for n in 1 2 3; do do_ serdesc table $n "$(basename "$PWD")=$sweep" --descriptors --format markdown --out "$sweep/table$n.md" "${given[@]}"; done
  fi
}
fold_by_fold() { # stages 4 to 7 of one experiment; zero-shot ones train nothing and decode with the model they start from
  local exp=$1 model=$1/foldJOB
  if [[ $exp == *-zero-shot ]]; then
    model=$start
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
    [ -z "$systems" ] || set -- --keep "$@"
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
