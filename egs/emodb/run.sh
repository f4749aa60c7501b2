#!/usr/bin/env bash
# EmoDB, folds of whole speakers, with built-in or real pretrained models.
#   ./run.sh --corpus ~/corpora/emodb          # seven emotions, ten folds
#   ./run.sh --corpus ~/corpora/emodb --config conf/four_pairs.yaml
#   ./run.sh --corpus CORPUS --config conf/whisper.yaml --models ~/models
set -euo pipefail

stage=1                   # first stage
stop_stage=7              # last stage
corpus=                   # directory with wav/03a01Fa.wav ...
config=conf/seven.yaml    # or four, whisper; each also with _pairs
models=                   # of tools/get_models.sh
set=()                    # key=value over the configuration; repeatable
system=                   # system of the paper, of serdesc/systems/*.yaml
init=none                 # start model; the built-in ones heard EmoDB
tag=                      # name in exp/; default: system or configuration
dump=                     # default: dump/<encoder>/<configuration>
max_disk=                 # GB of features to store; more are computed live
folds=                    # default: all of the configuration
faithful=false            # also compare captions with measurements
seeds=                    # of training, such as "1 2 3": exp/<tag>/seed<s>
parts=test                # decoded and scored; dev: to choose settings
baselines=true            # also score baselines without the model
nj=2                      # parallel processes; they do not change results
ngpu=0                    # GPUs per training; 0: CPU
allow_cpu=false           # train an LLM of over 1e9 parameters on a CPU
dry_run=false             # only print the commands
. "$(dirname "$0")/../../utils/parse_options.sh"

cd "$(dirname "$0")"
$dry_run || ../../tools/setup.sh
. ./path.sh && . ./cmd.sh # PATH; train_cmd (CPU), cuda_cmd (GPU)
. ../../utils/stage.sh    # begin N "description"; run: execute, or print with --dry-run
name=$(basename "$config" .yaml)
[[ $name != *pairs ]] || folds=${folds:-1 2 3 4 5}
folds=${folds:-1 2 3 4 5 6 7 8 9 10}
[[ $system != ssl_* ]] || init=none  # no LLM: nothing to start from
encoder=hubert-mini truth=()
[[ $name != whisper* ]] || encoder=whisper-base
[[ $init != describer-* ]] || fail "$init was trained on EmoDB: --init none"
data=data/$name exp=exp/${tag:-${system:-$name}} dump=${dump:-dump/$encoder/$name}
[ -z "$models" ] || set=("encoder.model=$models/whisper-base"
  "llm.model=$models/smollm2-135m-instruct" "${set[@]}")
conf=(--config "$config" ${system:+--config "$system"} "${set[@]/#/--set=}")
[ "$init" = none ] || conf+=(--set "training.init=$init")
set_up "$exp"             # device, launch, allow; trained and decoded, of each seed
need_corpus "the directory with wav/03a01Fa.wav ..."
[ "$init" = none ] || ! selected 4 ||
  need_model "$init" "Train it first, or start without: --init none"

if begin 1 "prepare data/emodb"; then
  run $train_cmd data/emodb/log/prepare.log \
    serdesc prepare emodb "$corpus" data/emodb "${conf[@]}" --nj "$nj"
  show data/emodb/log/prepare.log
fi
if begin 2 "measure, label and caption the folds in $data"; then
  run $train_cmd "$data/log/annotate.log" \
    serdesc annotate data/emodb --out "$data" "${conf[@]}" --nj "$nj"
  show "$data/log/annotate.log"
fi
if begin 3 "extract the outputs of all encoder layers to $dump"; then
  run $cuda_cmd JOB="1:$nj" "$dump/log/extract.JOB.log" serdesc extract data/emodb "$dump" \
    "${conf[@]}" --shard "JOB/$nj" ${max_disk:+--max-disk "$max_disk"}
  show "$dump/log/extract.1.log"
fi
if begin 4 "train each fold, alternating content and descriptor phases"; then
  for of in "${trained[@]}"; do  # exp/<tag>, or exp/<tag>/seed<s>
    run $dist_cmd JOB="$folds" "$of/foldJOB/train.log" "${launch[@]}" serdesc train \
      "$data/foldJOB/train" "$dump" "$of/foldJOB" "${conf[@]}" $(set_seed "$of") "${allow[@]}"
  done
fi
if begin 5 "decode each fold: $parts"; then
  for of in "${decoded[@]}"; do  # exp/<tag>/foldJOB/decode_test ...
    run $cuda_cmd JOB="$folds" "$of/decode.log" \
      serdesc decode "$data/foldJOB/${of##*_}" "$dump" "${of%/*}"
  done
fi
if begin 6 "score the captions, and baselines on the same folds"; then
  # --faithful: the first fold measures all recordings, so the folds follow each other
  ! $faithful || { train_cmd+=" --max-jobs-run 1"; truth=(--faithful --nj "$nj"); }
  for of in "${decoded[@]}"; do
    run $train_cmd JOB="$folds" "$of/score.log" serdesc score "$data/foldJOB/${of##*_}" \
      --hyp "$of/hyp.jsonl" --keep "${truth[@]}" "${conf[@]}"
  done
  ! $baselines || run $train_cmd "$exp/baselines.log" \
    serdesc baselines "$data" --out "$exp/baselines.json" "${conf[@]}" --nj "$nj"
fi
if begin 7 "report the folds together"; then
  for part in $parts; do run serdesc report "$exp" --part "$part" "${conf[@]}"; done
fi
