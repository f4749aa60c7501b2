#!/usr/bin/env bash
# SECap's public test set, 600 Mandarin utterances, zero-shot.
#   ./run.sh --corpus ~/corpora/secap --init ../speechcraft/exp/speechcraft/fold1
#   ./run.sh --corpus ~/corpora/secap --init describer-mini --tag describer_mini
set -euo pipefail

stage=1                   # first stage
stop_stage=6              # last stage
corpus=                   # directory with wav/, text.txt, fid2captions.json
config=conf/secap600.yaml  # of the corpus; the model has its own
set=()                    # key=value over the configuration; repeatable
init=                     # model to test: a fold or a built-in model
tag=zero_shot             # name in exp/
language=en               # language that the prompt asks for: en, zh
refs=                     # translated references, <utt_id> <caption> a line
translator=               # chat LLM that translates references in stage 4
nj=2                      # parallel processes; they do not change results
ngpu=0                    # 1: decode on a GPU; 0: CPU
dry_run=false             # only print the commands
. "$(dirname "$0")/../../utils/parse_options.sh"

cd "$(dirname "$0")"
$dry_run || ../../tools/setup.sh
. ./path.sh && . ./cmd.sh # PATH; train_cmd (CPU), cuda_cmd (GPU)
. ../../utils/stage.sh    # begin N "description"; run: execute, or print with --dry-run
init=${init:-EXP}
data=data/$(basename "$config" .yaml) exp=exp/$tag
conf=(--config "$config" "${set[@]/#/--set=}")
device=auto
[ "$ngpu" -gt 0 ] || { device=cpu; conf+=(--set device=cpu); cuda_cmd=$train_cmd; }
prompt="Please caption the input audio according to content and speech"
prompt="$prompt descriptor-related information."
[ "$language" != zh ] || prompt="$prompt Answer in Chinese."
[ -z "$translator" ] || refs=${refs:-$data/english.txt}
need_corpus "the directory with wav/, text.txt and fid2captions.json"
! selected 3 || need_model "$init" "Name the model to test: --init EXP, or --init describer-mini"

if begin 1 "prepare $data and compare it with the published counts"; then
  run $train_cmd "$data/log/prepare.log" \
    serdesc prepare secap600 "$corpus" "$data" "${conf[@]}" --nj "$nj"
  run $train_cmd "$data/log/check.log" serdesc check "$data" --corpus secap600 --nj "$nj"
  show "$data"/log/{prepare,check}.log
fi
if begin 2 "write the test part with the corpus's captions to $data"; then
  run $train_cmd "$data/log/annotate.log" serdesc annotate "$data" "${conf[@]}" --nj "$nj"
  show "$data/log/annotate.log"
fi
if begin 3 "decode with $init as it is, computing features live"; then
  run $cuda_cmd "$exp/fold1/decode.log" \
    serdesc decode "$data/fold1/test" live "$init" --out "$exp/fold1/decode_test/hyp.jsonl" \
    --set device=$device --set "prompt.instruction=$prompt"
fi
if begin 4 "translate the references into English: ${translator:-no --translator}"; then
  [ -z "$translator" ] || run $cuda_cmd "$data/log/translate.log" serdesc translate \
    "$data/fold1/test" --out "$refs" "${conf[@]}" --set "llm.model=$translator"
fi
if begin 5 "score the captions"; then
  run $train_cmd "$exp/fold1/score.log" serdesc score "$data/fold1/test" \
    --hyp "$exp/fold1/decode_test/hyp.jsonl" --keep "${conf[@]}" \
    ${refs:+--refs "$refs" --set "scoring.language=$language"}
fi
if begin 6 "report"; then
  run serdesc report "$exp" "${conf[@]}"
fi
