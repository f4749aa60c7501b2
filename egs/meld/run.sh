#!/usr/bin/env bash
# MELD, official split: the SpeechCraft model fine-tuned on the training part, and as it is.
#   ./run.sh --corpus ~/corpora/MELD.Raw
#   ./run.sh --corpus ~/corpora/MELD.Raw --set folds.protocol=emobox --tag emobox    # 2608 test clips, as EmoBox has them
# Options:
#   --corpus DIR               folder with the three *_sent_emo.csv and the unpacked clips
#   --list FILE                TSV that stage 1 compares with: key (or utt_id), seconds, and where it has them split and label
#   --stage 1 --stop-stage 8   first and last stage: prepare, annotate, extract, train, decode, score, report
#   --nj 2                     jobs side by side; the results do not depend on it
#   --ngpu 1                   GPUs a training job; 0: CPU
#   --config FILE --set "key=value ..."   configuration, and settings over it
#   --tag NAME                 name of the experiment, exp/<tag>; the configuration's name by default
#   --init EXP                 model to start from; none: encoder and LLM alone
#   --adapt true               fine-tune it on the training part; false: zero-shot only
#   --system NAME              one of the paper's systems, a file of serdesc/systems, as exp/NAME
#   --systems all              all of them (or "NAME NAME"), and the paper's tables as stage 8; goes on where it stopped
#   --other-folds "1"          folds of the systems that are not rows 4 to 7 of Table 2
#   --dry-run                  print the commands of every stage, do nothing
corpus= config=conf/meld.yaml default_init=../speechcraft/exp/speechcraft/fold1 ngpu=1 adapt=true checked=true folds=1
system_init=../speechcraft/exp/SYSTEM/fold1
. "$(dirname "$0")/../../utils/recipe.sh"
settings
name=$(basename "$config" .yaml)
data=data/meld$of_data labelled=data/$name-folds$of_folds dump=dump/meld$of_dump exp=exp/${tag:-$name$of_folds}

prepare_and_label meld "the folder with the three *_sent_emo.csv"
extract_to_report
