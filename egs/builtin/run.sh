#!/usr/bin/env bash
# How the built-in small models were made: hubert-mini, llama-mini, describer-mini. About five hours on two cores.
#   ./run.sh --librispeech ~/corpora/LibriSpeech --speechocean ~/corpora/speechocean762/train
# Options: --librispeech --speechocean --stage --stop-stage --nj --bf16 true
# Speakers of conf/heldout_speakers.txt are heard by none of the three; no sentence or voice of mini is used.
stage=1
stop_stage=6
librispeech=      # LibriSpeech parts with speakers 19 and 26 (train-clean-100); others may be there too
speechocean=      # one part of speechocean762: the folder with WAVE/, text, utt2spk
nj=2
bf16=false        # true: faster where the processor has AVX512-BF16, as it was when the models in the repository were made
cd "$(dirname "$0")" || exit 1
. ../../utils/parse_options.sh
. ./path.sh
. ./cmd.sh
set -euo pipefail
flags=; ! $bf16 || flags=--bf16
held=conf/heldout_speakers.txt built=../../serdesc/builtin exp=exp/describer-mini/fold1

if [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ]; then
  echo "stage 1: real speech, without and with the held-out speakers"
  [ -n "$librispeech" ] && [ -n "$speechocean" ] || { echo "$0: --librispeech DIR and --speechocean DIR are needed" >&2; exit 2; }
  for part in librispeech speechocean; do
    serdesc prepare $part "${!part}" data/$part --set prepare.leave_out=$held --nj "$nj"
    serdesc prepare $part "${!part}" data/${part}_heldout --set prepare.only=$held --nj "$nj"
  done
  python local/combine.py data/librispeech_heldout data/speechocean_heldout data/heldout
fi
if [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ]; then
  echo "stage 2: made speech by other voices than mini's"
  python local/make_speech.py data/librispeech data/speechocean downloads/made data/made --nj "$nj"
  python local/combine.py data/librispeech data/speechocean data/made data/train
fi
if [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ]; then
  echo "stage 3: hubert-mini"
  python local/pretrain_hubert.py data/train data/heldout exp/hubert-mini $flags
  cp exp/hubert-mini/final/* $built/hubert-mini/
fi
if [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
  echo "stage 4: llama-mini"
  python local/pretrain_llama.py data/train exp/llama-start --steps 3500 --random 0.34 $flags
  python local/pretrain_llama.py data/train exp/llama-mini --steps 4000 --random 0.67 --init exp/llama-start $flags
  cp exp/llama-mini/* $built/llama-mini/
fi
if [ "$stage" -le 5 ] && [ "$stop_stage" -ge 5 ]; then
  echo "stage 5: describer-mini"
  python local/levels.py data/train downloads/levels data/levels
  serdesc annotate data/levels --config conf/describer.yaml --nj "$nj"
  serdesc extract data/levels dump/hubert-mini/levels --config conf/describer.yaml
  serdesc train data/levels/fold1/train dump/hubert-mini/levels $exp --config conf/describer.yaml
fi
if [ "$stage" -le 6 ] && [ "$stop_stage" -ge 6 ]; then
  echo "stage 6: put describer-mini in its place, and score it on the held-out speakers"
  mkdir -p $built/describer-mini
  cp -r $exp/config.yaml $exp/checkpoint $built/describer-mini/
  python local/label_heldout.py data/levels/fold1/thresholds.json data/heldout data/heldout_labelled
  python local/heldout_loss.py data/heldout_labelled $exp | tee $exp/heldout_loss.json
  serdesc decode data/heldout_labelled live $exp
  serdesc score data/heldout_labelled --hyp $exp/decode_heldout_labelled/hyp.jsonl
fi
