#!/usr/bin/env bash
# describer-base: Whisper base and SmolLM2-135M-Instruct (tools/get_models.sh fetches them).
#   ./run.sh --stop-stage 1 --librispeech ~/LibriSpeech --speechocean ~/so/train --emodb ~/emodb
#   local/describer_base.sh
# No training on conf/heldout_speakers.txt, on RAVDESS, or on the voices and texts of mini.
set -euo pipefail

stage=1                   # first stage
stop_stage=6              # last stage
nj=2                      # parallel processes; they do not change results
dry_run=false             # only print the commands
. "$(dirname "$0")/../../../utils/parse_options.sh"

cd "$(dirname "$0")/.."
$dry_run || ../../tools/setup.sh
. ./path.sh
. ./cmd.sh
. ../../utils/stage.sh
models=../../serdesc/builtin dump=dump/whisper-base/base
conf=(--config conf/describer_base.yaml)

if begin 1 "real recordings at random levels, with labels"; then
  run python local/combine.py data/librispeech data/speechocean data/base_read
  run python local/levels.py data/base_read downloads/base_levels data/base_read_levels
  run python local/levels.py data/emodb downloads/base_levels data/base_emodb --copies 2
  run $train_cmd data/log/base_emodb.log \
    serdesc annotate data/base_emodb "${conf[@]}" --set measure.language=de --nj "$nj"
  run $train_cmd data/log/base_read.log \
    serdesc annotate data/base_read_levels "${conf[@]}" --nj "$nj"
  run python local/merge_measured.py data/base_read_levels data/base_emodb data/base \
    --as-they-are
  run $train_cmd data/log/base.log serdesc annotate data/base "${conf[@]}"
fi
if begin 2 "extract the outputs of all encoder layers to $dump"; then
  run $train_cmd JOB="1:$nj" "$dump/log/extract.JOB.log" \
    serdesc extract data/base "$dump" "${conf[@]}" --shard "JOB/$nj"
fi
if begin 3 "pretrain the branches, without the LLM"; then
  run $train_cmd exp/branches/train.log \
    serdesc train data/base/fold1/train "$dump" exp/branches "${conf[@]}" --set "threads=$nj"
fi
if begin 4 "write down what the branches say, word for word"; then
  run $train_cmd data/log/base_words.log python local/label_words.py exp/branches \
    data/base/fold1/train "$dump" data/base_words
fi
if begin 5 "train LoRA to write captions of these words"; then
  run $train_cmd exp/describer-base/train.log python -m serdesc.training.processes --standalone \
    --nproc-per-node "$nj" --no-python serdesc train data/base_words "$dump" \
    exp/describer-base --config conf/describer_base_llm.yaml
fi
if begin 6 "install it in serdesc/builtin, in 16 bits"; then
  run python local/install.py exp/describer-base $models/describer-base
fi
