#!/usr/bin/env bash
# A describer on Whisper base and SmolLM2-135M-Instruct (tools/get_models.sh); see TRIED.md.
#   ./run.sh --stop-stage 1 --librispeech ~/LibriSpeech --speechocean ~/so/train --emodb ~/emodb
#   local/describer_base.sh
# No training on conf/heldout_speakers.txt, on RAVDESS, or on the voices and texts of mini.
set -euo pipefail

stage=1                   # first stage
stop_stage=4              # last stage
heldout=()                # data and store (or live) to report on in stage 3
nj=2                      # parallel processes; they do not change results
dry_run=false             # only print the commands
. "$(dirname "$0")/../../../utils/parse_options.sh"

cd "$(dirname "$0")/.."
$dry_run || ../../tools/setup.sh
. ./path.sh
. ./cmd.sh
. ../../utils/stage.sh
exp=exp/describer-base/fold1 dump=dump/whisper-base/all
conf=(--config conf/describer_base.yaml)

if begin 1 "speech of 110 synthetic speakers; all recordings at random levels; labels"; then
  run $train_cmd data/log/make_base.log python local/make_speech.py data/librispeech \
    data/speechocean downloads/made data/base_made --speakers 110 --nj "$nj"
  run python local/combine.py data/librispeech data/speechocean data/base_made data/base_train
  run python local/levels.py data/emodb downloads/base_levels data/base_emodb --copies 4
  run $train_cmd data/log/base_emodb.log \
    serdesc annotate data/base_emodb "${conf[@]}" --set measure.language=de --nj "$nj"
  run python local/levels.py data/base_train downloads/base_levels data/base_levels
  run $train_cmd data/log/base_levels.log \
    serdesc annotate data/base_levels "${conf[@]}" --nj "$nj"
  merge="python local/merge_measured.py data/base_levels data/base_emodb"
  run $merge data/base_all --neutral 0 --german
  run $merge data/base --neutral 0 --german --share 0.45 --max-seconds 7 --copies 2
  for data in base_all base; do
    run $train_cmd "data/log/$data.log" serdesc annotate "data/$data" "${conf[@]}"
  done
fi
if begin 2 "extract the outputs of all encoder layers to $dump"; then
  run $train_cmd JOB="1:$nj" "$dump/log/extract.JOB.log" \
    serdesc extract data/base_all "$dump" "${conf[@]}" --shard "JOB/$nj"
fi
if begin 3 "pretrain the branches without the LLM"; then
  run $train_cmd exp/branches.log python local/pretrain_branches.py data/base_all/fold1/train \
    "$dump" conf/describer_base.yaml exp/branches --set training.init= --set threads=2 \
    --set training.beta=0.01 \
    ${heldout[0]:+--heldout "${heldout[@]}"}
fi
if begin 4 "train describer-base"; then
  run $train_cmd "$exp/train.log" python -m serdesc.training.processes --standalone \
    --nproc-per-node 2 --no-python \
    serdesc train data/base/fold1/train "$dump" "$exp" "${conf[@]}"
fi
