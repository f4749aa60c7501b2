#!/usr/bin/env bash
# IEMOCAP, five folds, leave one session out (paper, Section 4).
#   ./run.sh --corpus ~/corpora/IEMOCAP_full_release
#   ./run.sh --corpus ~/corpora/IEMOCAP_full_release --init none --tag scratch
#   ./run.sh --stage 4 --system two_stage    # all: local/run_systems.sh
set -euo pipefail
stage=1                   # first stage
stop_stage=8              # last stage
corpus=                   # directory with Session1 ... Session5
list=                     # TSV to compare with: utt_id, seconds, and labels
config=conf/iemocap.yaml  # also: five, six, improvised, emobox, dev
set=()                    # key=value over the configuration; repeatable
system=                   # system of the paper, of serdesc/systems/*.yaml
init=                     # start model, or none; default: egs/speechcraft's
tag=                      # name in exp/; default: system or configuration
dump=                     # default: dump/hubert-large/<configuration>
max_disk=                 # GB of features to store; more are computed live
folds="1 2 3 4 5"         # test sessions
adapt=true                # fine-tune the start model; false: zero-shot only
seeds=                    # of training, such as "1 2 3": exp/<tag>/seed<s>
parts=test                # decoded and scored; dev: to choose settings
baselines=true            # also score baselines without the model
nj=2                      # parallel processes; they do not change results
ngpu=1                    # GPUs per training; 0: CPU
allow_cpu=false           # train an LLM of over 1e9 parameters on a CPU
dry_run=false             # only print the commands
. "$(dirname "$0")/../../utils/parse_options.sh"

cd "$(dirname "$0")"
$dry_run || ../../tools/setup.sh
. ./path.sh && . ./cmd.sh # PATH; train_cmd (CPU), cuda_cmd (GPU)
. ../../utils/stage.sh    # begin N "description"; run: execute, or print with --dry-run
name=$(basename "$config" .yaml) init=${init:-../speechcraft/exp/${system:-speechcraft}/fold1}
[[ $system != ssl_* ]] || init=none  # no LLM: nothing to start from
data=data/$name exp=exp/${tag:-${system:-$name}} dump=${dump:-dump/hubert-large/$name}
conf=(--config "$config" ${system:+--config "$system"} "${set[@]/#/--set=}")
[ "$init" = none ] || conf+=(--set "training.init=$init")
set_up "$exp"             # device, launch, allow; trained and decoded, of each seed
zero_shot=(); [ "$init" = none ] || zero_shot=("$exp-zero-shot/foldJOB/decode_test")
$adapt || decoded=()
need_corpus "the directory with Session1 ... Session5"
[ "$init" = none ] || ! { selected 4 || selected 6; } ||
  need_model "$init" "Train it with ../speechcraft/run.sh, or start without: --init none"

if begin 1 "prepare $data/all and compare it with the published counts"; then
  run $train_cmd "$data/log/prepare.log" \
    serdesc prepare iemocap "$corpus" "$data/all" "${conf[@]}" --nj "$nj"
  run $train_cmd "$data/log/check_data.log" \
    serdesc check "$data/all" --corpus iemocap ${list:+--list "$list"} --nj "$nj"
  show "$data"/log/{prepare,check_data}.log
fi
if begin 2 "measure, label and caption the folds in $data, and compare their sizes"; then
  run $train_cmd "$data/log/annotate.log" serdesc annotate "$data/all" \
    --out "$data" "${conf[@]}" --nj "$nj"
  run $train_cmd "$data/log/check_folds.log" serdesc check "$data" --corpus iemocap
  show "$data"/log/{annotate,check_folds}.log
fi
if begin 3 "extract the outputs of all encoder layers to $dump"; then
  run $cuda_cmd JOB="1:$nj" "$dump/log/extract.JOB.log" serdesc extract "$data/all" "$dump" \
    "${conf[@]}" --shard "JOB/$nj" ${max_disk:+--max-disk "$max_disk"}
  show "$dump/log/extract.1.log"
fi
if $adapt && begin 4 "train each fold, alternating content and descriptor phases"; then
  for of in "${trained[@]}"; do  # exp/<tag>, or exp/<tag>/seed<s>
    run $dist_cmd JOB="$folds" "$of/foldJOB/train.log" "${launch[@]}" serdesc train \
      "$data/foldJOB/train" "$dump" "$of/foldJOB" "${conf[@]}" $(set_seed "$of") "${allow[@]}"
  done
fi
if $adapt && begin 5 "decode each fold: $parts"; then
  for of in "${decoded[@]}"; do  # exp/<tag>/foldJOB/decode_test ...
    run $cuda_cmd JOB="$folds" "$of/decode.log" \
      serdesc decode "$data/foldJOB/${of##*_}" "$dump" "${of%/*}"
  done
fi
if [ "$init" != none ] && begin 6 "decode the test part of each fold zero-shot with $init"; then
  run $cuda_cmd JOB="$folds" "${zero_shot[0]}/decode.log" \
    serdesc decode "$data/foldJOB/test" "$dump" "$init" --out "${zero_shot[0]}/hyp.jsonl"
fi
if begin 7 "score the captions, and baselines on the same folds"; then
  for of in "${decoded[@]}" "${zero_shot[@]}"; do
    run $train_cmd JOB="$folds" "$of/score.log" serdesc score "$data/foldJOB/${of##*_}" \
      --hyp "$of/hyp.jsonl" --keep "${conf[@]}"
  done
  ! $baselines || run $train_cmd "$exp/baselines.log" \
    serdesc baselines "$data" --out "$exp/baselines.json" "${conf[@]}" --nj "$nj"
fi
if begin 8 "report the folds together"; then
  ! $adapt || for part in $parts; do run serdesc report "$exp" --part "$part" "${conf[@]}"; done
  [ "$init" = none ] || run serdesc report "$exp-zero-shot" "${conf[@]}"
fi
