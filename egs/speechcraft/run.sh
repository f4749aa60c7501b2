#!/usr/bin/env bash
# SpeechCraft, the GigaSpeech-m part: 670,070 clips, of which 2000 are held out.
#   ./run.sh --corpus ~/speechcraft --recordings ~/gigaspeech-m     # clips
#   ./run.sh --corpus ~/speechcraft --gigaspeech ~/GigaSpeech/GigaSpeech.json
#   ./run.sh --corpus ... --config conf/tenth.yaml          # a tenth of the hours
#   ./run.sh --corpus ... --config conf/description.yaml    # without transcript
#   ./run.sh --stage 4 --system two_stage    # all: local/run_systems.sh
set -euo pipefail

stage=1                   # first stage
stop_stage=7              # last stage
corpus=                   # directory with Labels and Instructions
gigaspeech=               # GigaSpeech.json; default: the one in the corpus
recordings=               # GigaSpeech's audio; default: beside the .json
config=conf/speechcraft.yaml  # also: conf/{tenth,description}.yaml
set=()                    # key=value over the configuration; repeatable
system=                   # system of the paper, of serdesc/systems/*.yaml
init=none                 # start model, or none: encoder and LLM only
model=                    # decode with this model, such as an adapted one
tag=                      # name in exp/; default: system or configuration
dump=                     # default: dump/hubert-large/<configuration>
max_disk=500              # GB of features to store; more are computed live
seeds=                    # of training, such as "1 2 3": exp/<tag>/seed<s>
parts=test                # decoded and scored; dev: to choose settings
baselines=false           # also score baselines; reads all recordings
nj=2                      # parallel processes; they do not change results
ngpu=1                    # GPUs per training; 0: CPU
allow_cpu=false           # train an LLM of over 1e9 parameters on a CPU
dry_run=false             # only print the commands
. "$(dirname "$0")/../../utils/parse_options.sh"

cd "$(dirname "$0")"
$dry_run || ../../tools/setup.sh
. ./path.sh && . ./cmd.sh # PATH; train_cmd (CPU), cuda_cmd (GPU)
. ../../utils/stage.sh    # begin N "description"; run: execute, or print with --dry-run
name=$(basename "$config" .yaml)
[[ $system != ssl_* ]] || init=none  # no LLM: nothing to start from
data=data/$name exp=exp/${tag:-${system:-$name}} dump=${dump:-dump/hubert-large/$name}
conf=(--config "$config" ${system:+--config "$system"} "${set[@]/#/--set=}")
[ "$init" = none ] || conf+=(--set "training.init=$init")
set_up "$exp"             # device, launch, allow; trained and decoded, of each seed
need_corpus "the directory with SpeechCraft's Labels and Instructions"
[ "$init" = none ] || ! selected 4 ||
  need_model "$init" "Train it first, or start without: --init none"

if begin 1 "prepare $data and compare it with the published counts"; then
  run $train_cmd "$data/log/prepare.log" \
    serdesc prepare speechcraft "$corpus" "$data" "${conf[@]}" --nj "$nj" \
    ${gigaspeech:+--set "prepare.gigaspeech=$gigaspeech"} \
    ${recordings:+--set "prepare.recordings=$recordings"}
  run $train_cmd "$data/log/check.log" serdesc check "$data" --corpus speechcraft --nj "$nj"
  show "$data"/log/{prepare,check}.log
fi
if begin 2 "hold out recordings; labels and captions are the corpus's"; then
  run $train_cmd "$data/log/annotate.log" serdesc annotate "$data" "${conf[@]}" --nj "$nj"
  show "$data/log/annotate.log"
fi
if begin 3 "extract the outputs of all encoder layers to $dump"; then
  run $cuda_cmd JOB="1:$nj" "$dump/log/extract.JOB.log" serdesc extract "$data" "$dump" \
    "${conf[@]}" --shard "JOB/$nj" ${max_disk:+--max-disk "$max_disk"}
  show "$dump/log/extract.1.log"
fi
if [ -z "$model" ] && begin 4 "train, alternating content and descriptor phases"; then
  for of in "${trained[@]}"; do  # exp/<tag>, or exp/<tag>/seed<s>
    run $dist_cmd "$of/fold1/train.log" "${launch[@]}" serdesc train \
      "$data/fold1/train" "$dump" "$of/fold1" "${conf[@]}" $(set_seed "$of") "${allow[@]}"
  done
fi
if begin 5 "decode the held-out recordings: $parts"; then
  for of in "${decoded[@]//JOB/1}"; do  # exp/<tag>/fold1/decode_test ...
    run $cuda_cmd "$of/decode.log" serdesc decode "$data/fold1/${of##*_}" "$dump" \
      "${model:-${of%/*}}" --out "$of/hyp.jsonl"
  done
fi
if begin 6 "score the captions, and baselines on the same clips"; then
  for of in "${decoded[@]//JOB/1}"; do
    run $train_cmd "$of/score.log" serdesc score "$data/fold1/${of##*_}" \
      --hyp "$of/hyp.jsonl" --keep "${conf[@]}"
  done
  ! $baselines || run $train_cmd "$exp/baselines.log" \
    serdesc baselines "$data" --out "$exp/baselines.json" "${conf[@]}" --nj "$nj"
fi
if begin 7 "report"; then
  for part in $parts; do run serdesc report "$exp" --part "$part" "${conf[@]}"; done
fi
