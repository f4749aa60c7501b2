#!/usr/bin/env bash
# The paper's training corpus: SpeechCraft's GigaSpeech-m part, 670,070 clips, 2000 of whole recordings held out.
#   ./run.sh --corpus ~/corpora/speechcraft --gigaspeech ~/corpora/GigaSpeech/GigaSpeech.json --ngpu 8
#   ./run.sh --config conf/description.yaml                    captions without transcript
# Options:
#   --corpus DIR               folder with SpeechCraft's downloads Labels and Instructions (or Descriptions)
#   --gigaspeech FILE          GigaSpeech.json; its recordings lie beside it, as the paths in it say. Default: in the corpus's folder
#   --stage 1 --stop-stage 8   first and last stage: prepare, annotate, extract, train, decode, score, report
#   --nj 2                     jobs side by side; the results do not depend on it
#   --ngpu 0                   GPUs a training job; 0: CPU
#   --max-disk 500             GB that features may take; where they need more, they are computed live
#   --baselines false          what can be had without the model; it hears all recordings again and holds every word in memory
#   --config FILE --set "key=value ..."   configuration, and settings over it
#   --tag NAME                 name of the experiment, exp/<tag>; the configuration's name by default
#   --init none                experiment or built-in model to start from
#   --system NAME              one of the paper's systems, a file of serdesc/systems, as exp/NAME
#   --systems all              all of them (or "NAME NAME"), and the paper's tables as stage 8; goes on where it stopped
#   --other-folds "1"          folds of the systems that are not rows 4 to 7 of Table 2
#   --dry-run                  print the commands of every stage, do nothing
corpus= gigaspeech= config=conf/speechcraft.yaml folds=1 max_disk=500 baselines=false checked=true
. "$(dirname "$0")/../../utils/recipe.sh"
settings
name=$(basename "$config" .yaml)
data=data/$name$of_folds labelled=$data dump=dump/hubert/speechcraft$of_dump exp=exp/${tag:-$name$of_folds}

prepare_and_label speechcraft "the folder with SpeechCraft's Labels and Instructions" ${gigaspeech:+--set "prepare.gigaspeech=$gigaspeech"}
extract_to_report
