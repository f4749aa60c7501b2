#!/usr/bin/env bash
# Real acted emotion: RAVDESS, speaker-independent folds of whole actors, on the built-in small models.
#   ./run.sh --corpus ~/corpora/ravdess                        eight emotions
#   ./run.sh --corpus ~/corpora/ravdess --config conf/four.yaml --tag four
# Options: --corpus --stage --stop-stage --nj --ngpu --folds --config --tag --init --set
stage=1
stop_stage=7
corpus=           # folder that holds Actor_01 ... Actor_24
nj=2              # jobs side by side; the results do not depend on it
ngpu=0            # GPUs a training job; 0: CPU
folds="1 2 3 4 5" # groups of test actors, listed in the config
config=conf/eight.yaml
tag=
init=describer-mini # experiment or built-in model to start from; none: encoder and LLM alone
set=              # key=value settings over the config, separated by spaces
cd "$(dirname "$0")" || exit 1
. ../../utils/parse_options.sh
. ./path.sh
. ./cmd.sh
set -euo pipefail
name=$(basename "$config" .yaml)
tag=${tag:-$name}
[ "$init" != none ] || init=
with=(--config "$config")
for setting in $set ${init:+training.init=$init}; do with+=(--set "$setting"); done
[ "$ngpu" -gt 0 ] || with+=(--set device=cpu)
train="serdesc train"; [ "$ngpu" -le 1 ] || train="torchrun --standalone --nproc-per-node $ngpu --no-python serdesc train"
all=data/ravdess data=data/$name dump=dump/hubert-mini/ravdess exp=exp/$tag

if [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ]; then
  [ -n "$corpus" ] || { echo "$0: --corpus DIR is needed: the folder with Actor_01 ...; README.md says where to get it" >&2; exit 2; }
  echo "stage 1: prepare $all"
  serdesc prepare ravdess "$corpus" $all "${with[@]}" --nj "$nj"
fi
if [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ]; then
  echo "stage 2: measure, and label every fold of $data by its training part"
  mkdir -p "$data" && cp $all/[!f]* "$data"/
  serdesc annotate "$data" "${with[@]}" --nj "$nj"
fi
if [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ]; then
  echo "stage 3: extract features to $dump"
  $cmd JOB=1:"$nj" $dump/log/extract.JOB.log serdesc extract $all $dump "${with[@]}" --shard JOB/"$nj"
fi
if [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
  echo "stage 4: train folds $folds in $exp"
  $cmd JOB="$folds" "$exp/foldJOB/train.log" $train "$data/foldJOB/train" $dump "$exp/foldJOB" "${with[@]}"
fi
if [ "$stage" -le 5 ] && [ "$stop_stage" -ge 5 ]; then
  echo "stage 5: decode the test actors"
  $cmd JOB="$folds" "$exp/foldJOB/decode.log" serdesc decode "$data/foldJOB/test" $dump "$exp/foldJOB"
fi
if [ "$stage" -le 6 ] && [ "$stop_stage" -ge 6 ]; then
  echo "stage 6: score"
  $cmd JOB="$folds" "$exp/foldJOB/score.log" serdesc score "$data/foldJOB/test" --hyp "$exp/foldJOB/decode_test/hyp.jsonl" "${with[@]}"
  serdesc baselines "$data" --out "$exp/baselines.json" --nj "$nj"
fi
if [ "$stage" -le 7 ] && [ "$stop_stage" -ge 7 ]; then
  echo "stage 7: report"
  serdesc report "$exp" "${with[@]}"
fi
