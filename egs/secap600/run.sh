#!/usr/bin/env bash
# Zero-shot on SECap's public test set: 600 Mandarin utterances with free captions of their emotion. Nothing is trained.
#   ./run.sh --corpus ~/corpora/secap --init ../speechcraft/exp/speechcraft/fold1
# Options:
#   --corpus DIR               folder that holds wav/, text.txt and fid2captions.json
#   --init EXP                 the experiment, or the built-in model, that is asked
#   --stage 1 --stop-stage 7   first and last stage: prepare, annotate, (nothing), (nothing), decode, score, report
#   --nj 2                     jobs side by side; the results do not depend on it
#   --ngpu 0                   GPUs; 0: CPU
#   --config FILE --set "key=value ..."   configuration, and settings over it; the model keeps its own
#   --language en              language that the model is asked to answer in: en, zh
#   --refs FILE                translated references, `<utt_id> <caption>` a line: English answers have no score without them
#   --tag zero_shot            name of the experiment: exp/<tag>
#   --dry-run                  print the commands of every stage, do nothing
corpus= init= config=conf/secap600.yaml folds=1 tag=zero_shot baselines=false language=en refs= checked=true
. "$(dirname "$0")/../../utils/recipe.sh"
model=${init:-EXP}
init=none
settings
need_model "$model" "Name the experiment that is asked: --init EXP, or --init describer-mini"
asked="Please caption the input audio according to content and speech descriptor-related information."
[ "$language" != zh ] || asked="$asked Answer in Chinese."
data=data/secap600$of_folds labelled=$data exp=exp/$tag

prepare_and_label secap600 "the folder with wav/, text.txt and fid2captions.json"
if begin 3 "nothing to extract: a model is asked once, so features are computed live"; then :; fi
if begin 4 "nothing to train: $model is asked as it is"; then :; fi
if begin 5 "decode"; then
  [ "$ngpu" -gt 0 ] && device=auto || device=cpu
  do_ $cmd JOB="$folds" "$exp/foldJOB/decode.log" serdesc decode "$labelled/foldJOB/test" live "$model" \
    --out "$exp/foldJOB/decode_test/hyp.jsonl" --set device=$device --set "prompt.instruction=$asked"
fi
score_and_report ${refs:+--refs "$refs" --set "scoring.language=$language"}
