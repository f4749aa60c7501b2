#!/usr/bin/env bash
# IEMOCAP, leave one session out: the SpeechCraft model fine-tuned on four sessions, and as it is, tested on the fifth.
#   ./run.sh --corpus ~/corpora/IEMOCAP_full_release
#   ./run.sh --corpus ~/corpora/IEMOCAP_full_release --init none --tag scratch     # no SpeechCraft model
# Options:
#   --corpus DIR               folder that holds Session1 ... Session5
#   --list FILE                TSV that stage 1 compares with: utt_id, seconds, and where it has them test_fold and raw_label
#   --stage 1 --stop-stage 8   first and last stage: prepare, annotate, extract, train, decode, score, report
#   --nj 2                     jobs side by side; the results do not depend on it
#   --ngpu 1                   GPUs a training job; 0: CPU
#   --folds "1 2 3 4 5"        test sessions
#   --config FILE --set "key=value ..."   configuration, and settings over it; conf/five.yaml and conf/six.yaml: other label sets
#   --tag NAME                 name of the experiment, exp/<tag>; the configuration's name by default
#   --init EXP                 model to start from; none: encoder and LLM alone
#   --adapt true               fine-tune it on the fold's training part; false: zero-shot only
#   --system NAME              one of the paper's systems, a file of serdesc/systems, as exp/NAME
#   --systems all              all of them (or "NAME NAME"), and the paper's tables as stage 8; goes on where it stopped
#   --other-folds "1"          folds of the systems that are not rows 4 to 7 of Table 2
#   --dry-run                  print the commands of every stage, do nothing
corpus= config=conf/iemocap.yaml default_init=../speechcraft/exp/speechcraft/fold1 ngpu=1 adapt=true checked=true
system_init=../speechcraft/exp/SYSTEM/fold1
. "$(dirname "$0")/../../utils/recipe.sh"
settings
name=$(basename "$config" .yaml)
data=data/$name$of_data labelled=data/$name-folds$of_folds dump=dump/$name$of_dump exp=exp/${tag:-$name$of_folds}

prepare_and_label iemocap "the folder with Session1 ... Session5"
extract_to_report
