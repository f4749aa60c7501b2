"""Every configuration key, with its type, default and meaning.

The defaults are the paper's values, and this project's own where the paper states none;
serdesc/README.md lists which is which. `load` merges files, systems and `--set` values.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Sequence

from serdesc import configfile
from serdesc.configfile import Count, NotNegative, Positive, Share, Whole, rename_keys
from serdesc.errors import UserError
from serdesc.files import write_text

__all__ = ["Config", "differences", "dump", "load", "rename_keys", "systems"]

SYSTEM = "You are a helpful language and speech assistant."
INSTRUCTION = (
    "Please caption the input audio according to content and speech descriptor-related information."
)


@dataclass(frozen=True)
class PrepareConfig:
    """Which audio enters a data directory."""

    min_seconds: NotNegative = 0.1  # shorter files are rejected: the encoder has no frame for them
    max_seconds: Positive = 60.0  # longer files are rejected; rejected.tsv lists them
    exclude_speakers: str = ""  # file with one speaker per line to leave out
    include_speakers: str = ""  # file with one speaker per line; all others are left out
    # Speed perturbation: copies of every utterance at these speeds, for training (Kaldi: 0.9, 1.1).
    speeds: list[float] = field(default_factory=list)
    fingerprint: str = ""  # mini: expected hash of the corpus generator
    excited: Literal["happy", "excited"] = "happy"  # IEMOCAP: class of the label exc
    turns: Literal["all", "improvised"] = "all"  # IEMOCAP: which dialogues are used
    # speechcraft: GigaSpeech.json of all subsets or of M alone; empty: SRC/GigaSpeech.json.
    gigaspeech: str = ""
    # speechcraft: folder with GigaSpeech's audio as whole recordings (that the paths in
    # GigaSpeech.json are relative to), Parquet files or clips; empty: that of GigaSpeech.json.
    recordings: str = ""
    # speechcraft: folder to which clips of Parquet files are unpacked, once; empty: DATA/audio.
    unpacked: str = ""
    # speechcraft: this share of the recordings, fixed by the hash of their ids.
    recordings_share: Share = 1.0
    # speechcraft: the reference caption; a description quotes no transcript.
    text: Literal["instruction", "description", "rendered"] = "instruction"
    # csv: columns with other names than are known, such as [speaker=subject, audio=clip_name].
    columns: list[str] = field(default_factory=list)
    # csv: emotions of labels that are no English words for one, such as [ang=angry, oth=none].
    emotions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FoldsConfig:
    """How the data is split into folds.

    session, speakers: each session, or each listed group of speakers, is the test part of one fold.
    recordings: one fold; whole recordings (in data without segments: speakers), drawn by the seed,
    are its test part. split: one fold with the corpus's own train, dev and test (utt2session).
    test: everything is the test part. none: there is no test part.
    """

    rule: Literal["session", "speakers", "recordings", "split", "test", "none"] = "session"
    protocol: Literal["all", "emobox"] = "all"  # emobox: no utterance over 30 s, in test either
    # rule recordings: recordings are drawn until the test part has at least this many utterances.
    test_utterances: Count = 2000
    test_speakers: list[list[str]] = field(default_factory=list)  # rule speakers: per fold
    dev: Literal["none", "utterances", "speakers"] = "none"
    dev_fraction: Share = 0.2
    labels: list[str] = field(default_factory=list)  # emotions to use; empty: all


@dataclass(frozen=True)
class MeasureConfig:
    """Acoustic measures behind the labels of pitch, energy, speed and traits; all are signed."""

    # corpus: nothing is measured; labels and captions are the corpus's own.
    source: Literal["measured", "corpus"] = "measured"
    # f0: median F0 of the voiced frames (pyin), Hz. piptrack, also called speechcraft:
    # SpeechCraft's spectral measure, which follows the timbre more than the F0.
    pitch: Literal["f0", "piptrack"] = "f0"
    f0_confidence: Share = 0.011  # frames of a lower pyin probability count as unvoiced
    voiced_seconds: NotNegative = 0.2  # less voiced speech gets no pitch label
    # phoneme: SpeechCraft's seconds per phoneme; syllable: syllables per second.
    speed: Literal["phoneme", "syllable"] = "phoneme"
    # Time that speed counts. gated: 20 ms frames within 25 dB of the loud ones; whole: pauses too.
    speech_time: Literal["gated", "whole"] = "gated"
    # relative: mean RMS after normalisation, whatever the gain (SpeechCraft's); level: active
    # speech level in dB, for recordings of one gain, which an encoder that normalises cannot know.
    energy: Literal["relative", "level"] = "relative"
    seconds: Positive = 5.0  # only the first seconds are measured, except for speed
    trim: bool = False  # remove silence at both ends first; changes the energy
    language: str = "en-us"  # language of espeak-ng, which counts the phonemes
    traits: list[str] = field(default_factory=list)  # further descriptors of captions/traits


@dataclass(frozen=True)
class EncoderConfig:
    """The frozen speech encoder (Section 3.1)."""

    model: str = "facebook/hubert-large-ls960-ft"  # Hugging Face id, folder, or built-in model
    layers: Literal["1..n", "0..n"] = "1..n"  # 0..n adds the input of the first layer
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"  # precision of the forward pass
    batch_seconds: NotNegative = 60.0  # audio in one batch, padding included
    min_seconds: NotNegative = 0.4  # shorter recordings are padded with silence to this length
    max_seconds: Positive = 30.0  # longer recordings are cut to this length; Whisper: at most 30
    trim: bool = False  # remove silence at both ends first


@dataclass(frozen=True)
class StoreConfig:
    """The feature store on disk."""

    dtype: Literal["float32", "float16", "bfloat16", "int8"] = "float16"  # int8: scale per frame
    shard_seconds: Positive = 600.0  # audio in one shard file


@dataclass(frozen=True)
class BranchConfig:
    """A content or descriptor branch: weighted sum, encoder, mu and sigma (Section 3.2, Eq. 2)."""

    latent: Count = 128  # K
    hidden: Whole = 0  # width of the two hidden layers; 0: D, the encoder's width
    # softplus gives sigma (the paper), or sigma^2 (the method's ancestor, the paper's ref. 7).
    sigma: Literal["softplus_std", "softplus_var"] = "softplus_std"
    layer_norm: bool = False  # normalise every layer before the weighted sum
    noise: bool = True  # training: z = mu + sigma * eps; false: z = mu, as in decoding


@dataclass(frozen=True)
class AdapterConfig:
    """From latents to the LLM's embedding space (Section 3.3, Eq. 3)."""

    k: Count = 5  # frames concatenated into one speech token
    hidden: Count = 2048
    # Descriptor tokens have the mean of z over the utterance and their number modulo `slots`, in
    slots: Whole = 0  # place of k frames: in pretraining each becomes the word for a field; 0: not
    words: bool = False  # the LLM is given the nearest words in place of the speech tokens


@dataclass(frozen=True)
class BaselineConfig:
    """Systems 1 to 3 of Table 2: pooled emotion classifier and CTC on the frozen encoder."""

    hidden: Count = 256  # hidden width of both heads
    ctc: NotNegative = 1.0  # weight of the CTC loss per character; the cross-entropy has weight 1


@dataclass(frozen=True)
class LoraConfig:
    r: Count = 8
    alpha: Count = 32
    dropout: Share = 0.05
    targets: list[str] = field(default_factory=lambda: ["q_proj", "v_proj"])


@dataclass(frozen=True)
class LlmConfig:
    """The LLM and its LoRA (Section 3.4)."""

    model: str = "meta-llama/Llama-3.1-8B-Instruct"
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    lora: LoraConfig = field(default_factory=LoraConfig)
    # Recompute activations in the backward pass: less memory, about a third more time.
    gradient_checkpointing: bool = False
    # Frozen linear layers in 8 or 4 bits (bitsandbytes, GPU only); LoRA stays float32.
    quantization: Literal["none", "8bit", "4bit"] = "none"


@dataclass(frozen=True)
class PromptConfig:
    """Texts of the prompt (Figure 1)."""

    system: str = SYSTEM
    instruction: str = INSTRUCTION
    content: str = ""  # instruction of the content phase; empty: the same instruction
    # Content phase: attend to the zero vectors of the descriptor tokens; false: leave them out.
    attend_zeros: bool = True


@dataclass(frozen=True)
class TargetConfig:
    """Outputs that a training target contains: columns Trans., Des. and Emo. of Table 3."""

    transcript: bool = True
    descriptors: bool = True
    emotion: bool = True


@dataclass(frozen=True)
class PhaseConfig:
    """Epochs and learning-rate schedule of one phase."""

    epochs: Whole = 4
    lr: Positive = 2e-4  # peak learning rate
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_ratio: Share = 0.03  # share of the phase's steps with linear warm-up


@dataclass(frozen=True)
class PretrainConfig(PhaseConfig):
    """Training of the branches before the LLM's, without it (not in the paper)."""

    epochs: Whole = 0
    lr: Positive = 1e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_ratio: Share = 0.1
    batch_size: Count = 32  # utterances
    # Emotion, sex and age are learnt from logistic regressions of the encoder's layers: their C,
    # the inverse weight of the L2 penalty; 0: from the labels.
    teacher: NotNegative = 1e-3


@dataclass(frozen=True)
class TrainingConfig:
    """Two-phase fine-tuning (Section 3.5)."""

    strategy: Literal["alternating", "two-stage", "one-stage"] = "alternating"
    alternate: Literal["epoch", "step"] = "epoch"  # unit of alternation
    beta: NotNegative = 1e-2  # weight of the KL term (Eq. 2)
    # KL over the K latent dimensions: mean, weight beta / K each; sum (the method's ancestor), beta
    # each. The paper does not state it; with the mean, beta acts as in its Table 3 (egs/mini).
    kl: Literal["sum", "mean"] = "mean"
    loss: Literal["mean", "eq4"] = "mean"  # mean: per token and per frame; eq4: sums, as Eq. 4
    content: PhaseConfig = field(default_factory=PhaseConfig)
    descriptor: PhaseConfig = field(default_factory=lambda: PhaseConfig(lr=2e-5, schedule="cosine"))
    batch_size: Count = 8  # utterances per optimiser step, over all devices
    gradient_accumulation_steps: Count = 1  # micro-batches that a batch is divided into
    max_grad_norm: Positive = 1.0  # gradients are clipped at this norm
    weight_decay: NotNegative = 0.0
    lora: bool = True  # train LoRA in both phases
    branches: bool = True  # train the branches in both phases; false: they stay as pretrained
    # words: the targets say what the branches, which are not trained, say (adapter.words).
    targets: Literal["labels", "words"] = "labels"
    # Targets are rendered from their fields, in a new wording in every epoch; no corpus captions.
    paraphrase_targets: bool = False
    max_seconds: Positive = 30.0  # longer training utterances are skipped; skipped.jsonl lists them
    # Utterances without transcript: refused, or trained on in the descriptor (joint) phase alone.
    without_text: Literal["refuse", "descriptor"] = "refuse"
    # Targets of utterances whose emotion is unknown: unnamed, a caption without emotion; open, a
    # caption that ends before its emotion and has no end token, so that nothing is learnt of it.
    without_emotion: Literal["unnamed", "open"] = "unnamed"
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    init: str = ""  # experiment folder or built-in model to start from
    # Checkpoints: at the end of every block (epoch of a phase), after so many of its steps, and
    # when the last one is so many seconds old; 0: not by these.
    save_steps: Whole = 0
    save_seconds: NotNegative = 60.0
    tensorboard: bool = False  # also event files: tensorboard --logdir exp (extra tensorboard)
    # Masks of LoRA's dropout: batch, of the batch in each process; utterance, which do not depend
    # on the number of processes or micro-batches.
    dropout_masks: Literal["batch", "utterance"] = "batch"
    # full: with several processes, each has a part of the LLM's decoder layers (less GPU memory).
    sharding: Literal["none", "full"] = "none"


@dataclass(frozen=True)
class TranslationConfig:
    """Machine translation of reference captions with the LLM, without LoRA (serdesc translate)."""

    system: str = "You are a professional translator."
    instruction: str = (
        "Translate this description of how a person speaks into one English sentence. Answer with"
        " the translation only."
    )
    max_new_tokens: Count = 100
    batch_size: Count = 8


@dataclass(frozen=True)
class DecodingConfig:
    max_new_tokens: Count = 200
    batch_size: Count = 8
    posterior: bool = True  # of the emotion: likelihoods of captions with each one of the data
    # Also write KL per frame and layer weights of the branches (hyp.branches.safetensors), which
    # `serdesc report --html` shows.
    branches: bool = True
    # describe: a recording over encoder.max_seconds is cut at pauses into pieces of at most so many
    # seconds; 0: only its first encoder.max_seconds are described.
    cut_seconds: NotNegative = 12.0


@dataclass(frozen=True)
class ScoringConfig:
    resamples: Count = 2000  # bootstrap resamples of the 95 % interval, from 100 units on
    unit: Literal["speaker", "utterance"] = "speaker"  # unit of the 95 % interval
    # style: captions without the transcript that they quote; full: with it.
    caption_text: Literal["style", "full"] = "style"
    # Also UA and WA with calm as neutral and excited as happy, where the labels do not have them.
    map_emotions: bool = False
    # F0 tracker of --faithful: praat, world or pyin, but never the labels' own (pyin: pitch f0).
    f0: Literal["praat", "world", "pyin"] = "praat"
    language: Literal["en", "zh"] = "en"  # of the captions
    # Of transcripts, for WER and CER. words-4: this project's; whisper: Whisper's (extra whisper);
    # none: split at white space, as jiwer does.
    normaliser: Literal["words-4", "whisper", "none"] = "words-4"
    # zh; mixed: Latin words whole.
    segmentation: Literal["characters", "jieba", "mixed"] = "characters"
    punctuation: Literal["removed", "kept"] = "removed"
    # Text that SPICE parses: PTB tokens in lower case (pycocoevalcap), or the caption unchanged.
    spice_text: Literal["ptb", "raw"] = "ptb"
    spice_jars: str = ""  # folder of SPICE's CoreNLP jars; empty: SERDESC_SPICE, or tools/spice
    java_memory: str = "2G"
    java_timeout: Positive = 3600.0  # seconds
    # Sentence encoder of the semantic similarity: a model of sentence-transformers, by id or folder
    # (extra similarity); empty: not computed.
    sentence_encoder: str = ""
    cache: str = "~/.cache/serdesc"  # cache of SPICE parses and scores


@dataclass(frozen=True)
class ReportConfig:
    """Pages of `serdesc report --html`."""

    # annotate: also write F0, level and speech-rate curves of every recording (utt2curves.jsonl).
    curves: bool = True


@dataclass(frozen=True)
class Config:
    # describer: the paper's; undivided: one weighted sum and adapter, no bottleneck;
    # ssl_baseline: no LLM.
    model: Literal["describer", "undivided", "ssl_baseline"] = "describer"
    system: str = ""  # name of the file in serdesc/systems, for the paper's tables
    seed: int = 1
    threads: Whole = 0  # threads per process; 0: torch's default. Changes the last bits of sums
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    # strict: only kernels whose results do not vary from run to run, slower attention among them,
    # and an error where there is none; warn: a warning there. On a CPU both give the same results.
    deterministic: Literal["warn", "strict"] = "warn"
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    folds: FoldsConfig = field(default_factory=FoldsConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    branch: BranchConfig = field(default_factory=BranchConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    llm: LlmConfig = field(default_factory=LlmConfig)
    baseline: BaselineConfig = field(default_factory=BaselineConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    target: TargetConfig = field(default_factory=TargetConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    translation: TranslationConfig = field(default_factory=TranslationConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    report: ReportConfig = field(default_factory=ReportConfig)


def systems() -> list[str]:
    """Names of the systems of the paper's tables and of SERDESC_PLUGINS/systems."""
    return sorted(configfile.system_files())


def load(path: Path | Sequence[Path] | None = None, settings: list[str] | None = None) -> Config:
    """The configuration of one or several files, later ones over earlier, and `key=value` settings.

    A path may be the name of a system. Raises UserError that lists every error.
    """
    paths = [path] if isinstance(path, Path) else list(path or ())
    tree: configfile.Tree = {}
    for file in paths:
        configfile.merge(tree, configfile.read(configfile.find(file)))
    errors: list[str] = []
    for setting in settings or []:
        if "=" in setting:
            configfile.merge(tree, configfile.read_setting(setting))
        else:
            example = "--set training.beta=1e-3"
            errors.append(f"--set {setting}: write key=value, for example {example}")
    config = configfile.build(Config(), tree, "", errors)
    if errors or config is None:
        location = ", ".join(map(str, paths)) or "the settings"
        listed = "\n  ".join(errors)
        raise UserError(f"{location}: {len(errors)} error(s) in the configuration:\n  {listed}")
    return config


def differences(recorded: Config, config: Config, ignore: tuple[str, ...] = ()) -> list[str]:
    """`key value, the configuration has value` for each key that differs.

    ignore: keys, or their beginnings, that are not compared.
    """
    flat = dict(configfile.leaves(dataclasses.asdict(config)))
    texts = []
    for key, value in configfile.leaves(dataclasses.asdict(recorded)):
        if value != flat[key] and not key.startswith(ignore):
            texts.append(f"{key} {value}, the configuration has {flat[key]}")
    return texts


def dump(config: Config, path: Path) -> None:
    """Write the resolved configuration, every key with its value."""
    import yaml

    tree = dataclasses.asdict(config)
    write_text(path, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
