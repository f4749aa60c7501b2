#!/usr/bin/env bash
# The whole path on a made corpus and the built-in small models: speech, features, training, captions, scores.
#   ./run.sh                            everything, five folds
#   ./run.sh --quick                    every stage of two folds, briefly trained: does it run?
#   ./run.sh --stage 4 --stop-stage 6 --folds "1 3" --tag beta1 --set training.beta=1
# Options: --stage --stop-stage --nj --ngpu --folds --config --tag --init --set --quick
stage=1
stop_stage=7
nj=2              # jobs side by side; the results do not depend on it
ngpu=0            # GPUs a training job; 0: CPU
folds="1 2 3 4 5" # test sessions
config=conf/mini.yaml
tag=mini
init=             # experiment or built-in model to start from, for example describer-mini
set=              # key=value settings over the config, separated by spaces
quick=false
cd "$(dirname "$0")" || exit 1
. ../../utils/parse_options.sh
. ./path.sh
. ./cmd.sh
set -euo pipefail
$quick && { folds="1 2"; tag=quick; set="training.content.epochs=1 training.descriptor.epochs=1 $set"; }
with=(--config "$config")
for setting in $set ${init:+training.init=$init}; do with+=(--set "$setting"); done
[ "$ngpu" -gt 0 ] || with+=(--set device=cpu)
train="serdesc train"; [ "$ngpu" -le 1 ] || train="torchrun --standalone --nproc-per-node $ngpu --no-python serdesc train"
data=data/mini dump=dump/hubert-mini/mini exp=exp/$tag

if [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ]; then
  echo "stage 1: speak the corpus and prepare $data"
  serdesc prepare mini downloads/mini $data "${with[@]}" --nj "$nj"
fi
if [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ]; then
  echo "stage 2: measure, and label every fold by its training part"
  serdesc annotate $data "${with[@]}" --nj "$nj"
fi
if [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ]; then
  echo "stage 3: extract features to $dump"
  $cmd JOB=1:"$nj" $dump/log/extract.JOB.log serdesc extract $data $dump "${with[@]}" --shard JOB/"$nj"
fi
if [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
  echo "stage 4: train folds $folds in $exp"
  $cmd JOB="$folds" "$exp/foldJOB/train.log" $train $data/foldJOB/train $dump "$exp/foldJOB" "${with[@]}"
fi
if [ "$stage" -le 5 ] && [ "$stop_stage" -ge 5 ]; then
  echo "stage 5: decode the test sessions"
  $cmd JOB="$folds" "$exp/foldJOB/decode.log" serdesc decode $data/foldJOB/test $dump "$exp/foldJOB"
fi
if [ "$stage" -le 6 ] && [ "$stop_stage" -ge 6 ]; then
  echo "stage 6: score"
  $cmd JOB="$folds" "$exp/foldJOB/score.log" serdesc score $data/foldJOB/test --hyp "$exp/foldJOB/decode_test/hyp.jsonl" "${with[@]}"
  serdesc baselines $data --out "$exp/baselines.json" --nj "$nj"
fi
if [ "$stage" -le 7 ] && [ "$stop_stage" -ge 7 ]; then
  echo "stage 7: report"
  serdesc report "$exp" "${with[@]}"
fi
