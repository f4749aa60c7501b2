#!/usr/bin/env bash
# The built-in models: hubert-mini, llama-mini, describer-mini.
#   ./run.sh --librispeech ~/LibriSpeech --speechocean ~/so/train --emodb ~/emodb
#   ./run.sh --stage 5                       # describer-mini, from the other two
# No training on conf/heldout_speakers.txt or on the voices and texts of mini.
set -euo pipefail

stage=1                   # first stage
stop_stage=6              # last stage
librispeech=              # LibriSpeech with train-clean-100
speechocean=              # directory with WAVE/, text and utt2spk
emodb=                    # directory with wav/03a01Fa.wav ...
nj=2                      # parallel processes; they do not change results
bf16=false                # compute in bfloat16, as for the models in the repository
dry_run=false             # only print the commands
. "$(dirname "$0")/../../utils/parse_options.sh"

cd "$(dirname "$0")"
$dry_run || ../../tools/setup.sh
. ./path.sh
. ./cmd.sh                # train_cmd (CPU)
. ../../utils/stage.sh    # begin N "description"; run: execute, or print with --dry-run
heldout=conf/heldout_speakers.txt models=../../serdesc/builtin exp=exp/describer-mini/fold1
flags=() conf=(--config conf/describer.yaml)
! $bf16 || flags=(--bf16)
! selected 1 || $dry_run || [ -n "$librispeech" -a -n "$speechocean" -a -n "$emodb" ] ||
  fail "--librispeech, --speechocean and --emodb DIR are needed; README.md says where they are had"

if begin 1 "prepare real speech, without and with the held-out speakers"; then
  for corpus in librispeech speechocean; do
    run $train_cmd data/log/$corpus.log serdesc prepare $corpus "${!corpus}" data/$corpus \
      --set prepare.exclude_speakers=$heldout --nj "$nj"
    run $train_cmd data/log/${corpus}_heldout.log serdesc prepare $corpus "${!corpus}" \
      data/${corpus}_heldout --set prepare.include_speakers=$heldout --nj "$nj"
  done
  run $train_cmd data/log/emodb.log serdesc prepare emodb "$emodb" data/emodb --nj "$nj"
  run python local/combine.py data/librispeech_heldout data/speechocean_heldout data/heldout
fi
if begin 2 "make speech with other voices than mini's"; then
  run $train_cmd data/log/make_speech.log python local/make_speech.py \
    data/librispeech data/speechocean downloads/made data/made --nj "$nj"
  run python local/combine.py data/librispeech data/speechocean data/made data/train
fi
if begin 3 "pretrain hubert-mini"; then
  run $train_cmd exp/hubert-mini/train.log \
    python local/pretrain_hubert.py data/train data/heldout exp/hubert-mini "${flags[@]}"
  run cp -r exp/hubert-mini/final/. $models/hubert-mini/
fi
if begin 4 "pretrain llama-mini"; then
  run $train_cmd exp/llama-start.log python local/pretrain_llama.py data/train exp/llama-start \
    --steps 3500 --random 0.34 "${flags[@]}"
  run $train_cmd exp/llama-mini.log python local/pretrain_llama.py data/train exp/llama-mini \
    --steps 4000 --random 0.67 --init exp/llama-start "${flags[@]}"
  run cp -r exp/llama-mini/. $models/llama-mini/
fi
if begin 5 "train describer-mini"; then
  run $train_cmd data/log/levels.log \
    python local/levels.py data/train downloads/levels data/levels
  run $train_cmd data/log/levels_emodb.log \
    python local/levels.py data/emodb downloads/levels data/levels_emodb --copies 8
  run $train_cmd data/log/measure.log serdesc annotate data/levels "${conf[@]}" --nj "$nj"
  run $train_cmd data/log/measure_emodb.log \
    serdesc annotate data/levels_emodb "${conf[@]}" --set measure.language=de --nj "$nj"
  run python local/merge_measured.py data/levels data/levels_emodb data/measured
  run $train_cmd data/log/annotate.log serdesc annotate data/measured "${conf[@]}"
  run $train_cmd dump/hubert-mini/measured/log/extract.log \
    serdesc extract data/measured dump/hubert-mini/measured "${conf[@]}"
  run $train_cmd $exp/train.log \
    serdesc train data/measured/fold1/train dump/hubert-mini/measured $exp "${conf[@]}"
fi
if begin 6 "install describer-mini, and score it on the held-out speakers"; then
  run mkdir -p $models/describer-mini
  run cp -r $exp/config.yaml $exp/checkpoint $models/describer-mini/
  run python local/label_heldout.py \
    data/measured data/heldout data/heldout_labelled
  run sh -c "python local/heldout_loss.py data/heldout_labelled $exp >$exp/heldout_loss.json"
  run cat $exp/heldout_loss.json
  run $train_cmd $exp/decode.log serdesc decode data/heldout_labelled live $exp
  run serdesc score data/heldout_labelled --hyp $exp/decode_heldout_labelled/hyp.jsonl
fi
