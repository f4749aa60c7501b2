#!/usr/bin/env bash
# The whole path on a made corpus and the built-in small models: speech, features, training, captions, scores.
#   ./run.sh                            everything, five folds
#   ./run.sh --quick                    every stage of two folds, briefly trained: does it run?
#   ./run.sh --stage 4 --stop-stage 6 --folds "1 3" --tag beta1 --set training.beta=1
# Options:
#   --stage 1 --stop-stage 8   first and last stage: prepare, annotate, extract, train, decode, score, report
#   --nj 2                     jobs side by side; the results do not depend on it
#   --ngpu 0                   GPUs a training job; 0: CPU
#   --folds "1 2 3 4 5"        test sessions
#   --config FILE --set "key=value ..."   configuration, and settings over it
#   --tag mini                 name of the experiment, exp/<tag>; the system's by default
#   --init NAME                experiment or built-in model to start from, for example describer-mini
#   --faithful                 stage 6 also asks whether captions are true of the sound, by measures that made no label
#   --system NAME              one of the paper's systems, a file of serdesc/systems, as exp/NAME
#   --systems all              all of them (or "NAME NAME"), and the paper's tables as stage 8; goes on where it stopped
#   --other-folds "1"          folds of the systems that are not rows 4 to 7 of Table 2
#   --dry-run                  print the commands of every stage, do nothing
config=conf/mini.yaml quick=false without="ssl_wavlm ssl_wav2vec2"
. "$(dirname "$0")/../../utils/recipe.sh"
$quick && { folds="1 2"; tag=quick; set="training.content.epochs=1 training.descriptor.epochs=1 $set"; }
settings
data=data/mini$of_data labelled=data/mini$of_folds dump=dump/hubert-mini/mini$of_dump exp=exp/${tag:-mini$of_folds} corpus=downloads/mini

prepare_and_label mini "made by stage 1"
extract_to_report
