#!/usr/bin/env bash
# Real acted emotion: RAVDESS, speaker-independent folds of whole actors, on the built-in small models.
#   ./run.sh --corpus ~/corpora/ravdess                        eight emotions
#   ./run.sh --corpus ~/corpora/ravdess --config conf/four.yaml
# Options:
#   --corpus DIR               folder that holds Actor_01 ... Actor_24
#   --stage 1 --stop-stage 7   first and last stage: prepare, annotate, extract, train, decode, score, report
#   --nj 2                     jobs side by side; the results do not depend on it
#   --ngpu 0                   GPUs a training job; 0: CPU
#   --folds "1 2 3 4 5"        groups of test actors, listed in the configuration
#   --config FILE --set "key=value ..."   configuration, and settings over it
#   --tag NAME                 name of the experiment, exp/<tag>; the configuration's name by default
#   --init describer-mini      experiment or built-in model to start from; none: encoder and LLM alone
#   --faithful                 stage 6 also asks whether captions are true of the sound, by measures that made no label
#   --dry-run                  print the commands of every stage, do nothing
corpus= config=conf/eight.yaml init=describer-mini
. "$(dirname "$0")/../../utils/recipe.sh"
settings
name=$(basename "$config" .yaml)
data=data/ravdess labelled=data/$name dump=dump/hubert-mini/ravdess exp=exp/${tag:-$name}

prepare_and_label ravdess "the folder with Actor_01 ..."
extract_to_report
