#!/usr/bin/env bash
# Real acted emotion: RAVDESS, speaker-independent folds of whole actors, on the built-in small models.
#   ./run.sh --corpus ~/corpora/ravdess                        eight emotions
#   ./run.sh --corpus ~/corpora/ravdess --config conf/four.yaml
# Options:
#   --corpus DIR               folder that holds Actor_01 ... Actor_24
#   --stage 1 --stop-stage 8   first and last stage: prepare, annotate, extract, train, decode, score, report
#   --nj 2                     jobs side by side; the results do not depend on it
#   --ngpu 0                   GPUs a training job; 0: CPU
#   --folds "1 2 3 4 5"        groups of test actors, listed in the configuration
#   --config FILE --set "key=value ..."   configuration, and settings over it
#   --tag NAME                 name of the experiment, exp/<tag>; the configuration's name by default
#   --init describer-mini      experiment or built-in model to start from; none, and for --system(s): encoder and LLM alone
#   --faithful                 stage 6 also asks whether captions are true of the sound, by measures that made no label
#   --system NAME              one of the paper's systems, a file of serdesc/systems, as exp/NAME
#   --systems all              all of them (or "NAME NAME"), and the paper's tables as stage 8; goes on where it stopped
#   --other-folds "1"          folds of the systems that are not rows 4 to 7 of Table 2
#   --dry-run                  print the commands of every stage, do nothing
corpus= config=conf/eight.yaml default_init=describer-mini without="ssl_wavlm ssl_wav2vec2"
. "$(dirname "$0")/../../utils/recipe.sh"
settings
name=$(basename "$config" .yaml)
data=data/ravdess$of_data labelled=data/$name$of_folds dump=dump/hubert-mini/$name$of_dump exp=exp/${tag:-$name$of_folds}

prepare_and_label ravdess "the folder with Actor_01 ..."
extract_to_report
