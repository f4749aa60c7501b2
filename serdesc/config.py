"""Typed configuration: YAML files with `include`, `--set section.key=value`, and every fault told at once.

The defaults are the paper's values, and for what the paper leaves open this project's own; README lists which is which.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Sequence, TypeVar

from serdesc import plugins
from serdesc.errors import Notice, UserError

T = TypeVar("T")

SYSTEM = "You are a helpful language and speech assistant."
INSTRUCTION = (
    "Please caption the input audio according to content and speech descriptor-related information."
)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; `told` says so to who gave another."""

    low: float
    high: float
    description: str

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high and math.isfinite(value)


Count = Annotated[int, Range(1, math.inf, "1 or more")]
Whole = Annotated[int, Range(0, math.inf, "0 or more")]
Positive = Annotated[float, Range(math.ulp(0.0), math.inf, "more than 0")]
NotNegative = Annotated[float, Range(0, math.inf, "0 or more")]
Share = Annotated[float, Range(0, 1, "between 0 and 1")]


@dataclass(frozen=True)
class PrepareConfig:
    """Which audio enters a data directory."""

    min_seconds: NotNegative = 0.1  # shorter files are rejected: the encoder would return no frame
    max_seconds: Positive = 60.0  # longer files are rejected, and listed
    exclude_speakers: str = ""  # file with one speaker a line; their utterances are left out
    include_speakers: str = ""  # file with one speaker a line; only their utterances are taken
    speeds: list[float] = field(
        default_factory=list
    )  # copies of every utterance at these speeds, for training: 0.9 and 1.1 in Kaldi's recipes
    fingerprint: str = ""  # mini: the hash that its generator was frozen at
    excited: Literal["happy", "excited"] = "happy"  # IEMOCAP: what the label exc becomes
    turns: Literal["all", "improvised"] = "all"  # IEMOCAP: which dialogues are taken
    gigaspeech: str = (
        ""  # speechcraft: GigaSpeech.json, of all subsets or of M alone; empty: SRC/GigaSpeech.json
    )
    recordings: str = (
        ""  # speechcraft: the folder that paths in GigaSpeech.json start from; empty: the folder it lies in
    )
    text: Literal["instruction", "description", "rendered"] = (
        "instruction"  # speechcraft: the caption; a description quotes no transcript
    )


@dataclass(frozen=True)
class FoldsConfig:
    """How the data is split: one session, or one listed group of speakers, is the test part of each fold; or there is one fold.

    recordings: whole recordings, drawn by the seed, are its test part; split: the corpus's own train, dev and test, as its sessions are
    named; test: it has nothing else; none: it has no test part.
    """

    rule: Literal["session", "speakers", "recordings", "split", "test", "none"] = "session"
    protocol: Literal["all", "emobox"] = (
        "all"  # emobox: utterances over 30 s are left out, in test too
    )
    test_utterances: Count = (
        2000  # rule recordings: recordings are drawn until the test part has at least so many utterances
    )
    test_speakers: list[list[str]] = field(
        default_factory=list
    )  # rule speakers: the test speakers of each fold
    dev: Literal["none", "utterances", "speakers"] = "none"
    dev_fraction: Share = 0.2
    labels: list[str] = field(default_factory=list)  # emotions that are kept; empty: all


@dataclass(frozen=True)
class MeasureConfig:
    """SpeechCraft's measures of pitch, energy and speed, or others by key."""

    source: Literal["measured", "corpus"] = (
        "measured"  # corpus: nothing is measured; labels and captions are those that it brought
    )
    pitch: Literal["piptrack", "f0"] = (
        "piptrack"  # SpeechCraft's spectral measure, or the median of a true F0 (pyin)
    )
    speed: Literal["phoneme", "syllable"] = (
        "phoneme"  # SpeechCraft's seconds a phoneme, or syllables a second
    )
    seconds: Positive = 5.0  # only the first seconds are measured, but for speed
    trim: bool = False  # cut leading and trailing silence first; it changes the energy
    language: str = "en-us"  # espeak-ng's language, for counting phonemes
    traits: list[str] = field(
        default_factory=list
    )  # further descriptors, files of serdesc/traits: measured, told in captions, read and scored


@dataclass(frozen=True)
class EncoderConfig:
    """The frozen speech encoder."""

    model: str = (
        "facebook/hubert-large-ls960-ft"  # Hugging Face id, folder, or the name of a built-in model
    )
    layers: Literal["1..n", "0..n"] = "1..n"  # 0..n adds the input of the first layer
    dtype: Literal["float32", "bfloat16", "float16"] = (
        "float32"  # precision in which the encoder runs
    )
    batch_seconds: NotNegative = 60.0  # audio in one forward pass, padding included
    min_seconds: NotNegative = 0.4  # a shorter recording is followed by silence up to here
    max_seconds: Positive = 30.0  # what is heard of a longer recording


@dataclass(frozen=True)
class StoreConfig:
    """Features on disk."""

    dtype: Literal["float32", "float16", "bfloat16", "int8"] = (
        "float16"  # int8: one scale a layer and frame
    )
    shard_seconds: Positive = 600.0  # audio in one shard file


@dataclass(frozen=True)
class BranchConfig:
    """Content and descriptor branch: weighted sum, encoder, mu and sigma (Section 3.2, Eq. 2)."""

    latent: Count = 128  # K
    hidden: Whole = 0  # width of the encoder's two layers; 0: as wide as the features
    sigma: Literal["softplus_std", "softplus_var"] = (
        "softplus_std"  # what softplus gives: sigma, or its square
    )
    layer_norm: bool = False  # normalise every layer before the weighted sum


@dataclass(frozen=True)
class AdapterConfig:
    """From latents to the LLM's embedding space (Eq. 3)."""

    k: Count = 5  # frames that are concatenated into one speech token
    hidden: Count = 2048


@dataclass(frozen=True)
class BaselineConfig:
    """Systems 1 to 3 of Table 2: emotion by a pooled classifier, transcript by CTC, on the frozen encoder alone."""

    hidden: Count = 256  # width between the encoder's and the output
    ctc: NotNegative = (
        1.0  # weight of the CTC loss, a character's, beside the emotion's cross-entropy
    )


@dataclass(frozen=True)
class LoraConfig:
    r: Count = 8
    alpha: Count = 32
    dropout: Share = 0.05
    targets: list[str] = field(default_factory=lambda: ["q_proj", "v_proj"])


@dataclass(frozen=True)
class LlmConfig:
    model: str = "meta-llama/Llama-3.1-8B-Instruct"
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    lora: LoraConfig = field(default_factory=LoraConfig)
    gradient_checkpointing: bool = (
        False  # recompute activations in the backward pass: less memory, a third more time
    )
    quantization: Literal["none", "8bit", "4bit"] = (
        "none"  # the frozen layers in fewer bits, on a GPU, by bitsandbytes; LoRA stays float32
    )


@dataclass(frozen=True)
class PromptConfig:
    """Figure 1's words."""

    system: str = SYSTEM
    instruction: str = INSTRUCTION
    content: str = ""  # the instruction of the content phase; empty: the same instruction
    attend_zeros: bool = (
        True  # the zero vectors in the descriptor tokens' place are attended to in the content phase
    )


@dataclass(frozen=True)
class TargetConfig:
    """The outputs that a training target contains: columns Trans., Des. and Emo. of the paper's Table 3."""

    transcript: bool = True
    descriptors: bool = True
    emotion: bool = True


@dataclass(frozen=True)
class PhaseConfig:
    """One phase: how long, and the learning rate's course."""

    epochs: Whole = 4
    lr: Positive = 2e-4
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_ratio: Share = 0.03  # share of the phase's steps


@dataclass(frozen=True)
class TrainingConfig:
    """Two-phase fine-tuning (Section 3.5)."""

    strategy: Literal["alternating", "two-stage", "one-stage"] = "alternating"
    alternate: Literal["epoch", "step"] = "epoch"
    beta: NotNegative = 1e-2
    loss: Literal["mean", "eq4"] = "mean"
    content: PhaseConfig = field(default_factory=PhaseConfig)
    descriptor: PhaseConfig = field(default_factory=lambda: PhaseConfig(lr=2e-5, schedule="cosine"))
    batch_size: Count = 8  # utterances a step, over all devices
    gradient_accumulation_steps: Count = 1  # a batch is worked off in this many parts
    max_grad_norm: Positive = 1.0  # gradient norm
    weight_decay: NotNegative = 0.0
    lora: bool = True  # LoRA trains in both phases
    paraphrase_targets: bool = (
        False  # every epoch says the fields in other words, and no wording can be learnt by heart; captions of a corpus are not used
    )
    max_seconds: Positive = 30.0  # longer training utterances are skipped, and listed
    init: str = ""  # experiment folder, or the name of a built-in model, to start from


@dataclass(frozen=True)
class DecodingConfig:
    max_new_tokens: Count = 200
    batch_size: Count = 8
    posterior: bool = (
        True  # of the emotion: the answer's likelihood with each of the data's emotions in its place, one more pass each
    )


@dataclass(frozen=True)
class ScoringConfig:
    resamples: Count = 2000  # bootstrap resamples for the 95 % interval
    unit: Literal["speaker", "utterance"] = "speaker"  # what is resampled
    caption_text: Literal["style", "full"] = (
        "style"  # captions without or with the transcript that they quote
    )
    language: Literal["en", "zh"] = "en"  # of the captions
    segmentation: Literal["characters", "jieba", "mixed"] = (
        "characters"  # of Mandarin; mixed: Latin words whole
    )
    punctuation: Literal["removed", "kept"] = "removed"
    spice_text: Literal["ptb", "raw"] = (
        "ptb"  # what SPICE parses: PTB tokens in lower case, or the caption as it stands
    )
    spice_jars: str = ""  # folder of its CoreNLP jars; empty: SERDESC_SPICE, or tools/spice
    java_memory: str = "2G"
    java_timeout: Positive = 3600.0  # seconds
    cache: str = "~/.cache/serdesc"  # where parses are kept


@dataclass(frozen=True)
class Config:
    # describer: the paper's; undivided: one weighted sum and one adapter, no bottleneck; ssl_baseline: no LLM
    model: Literal["describer", "undivided", "ssl_baseline"] = "describer"
    system: str = ""  # which of the paper's systems this is: the name of a file in serdesc/systems
    seed: int = 1
    threads: Whole = (
        0  # threads of one process; 0: torch's default. The number changes float sums in the last bits
    )
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
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
    scoring: ScoringConfig = field(default_factory=ScoringConfig)


# ---- keys of earlier versions ----------------------------------------------------------------

RENAMED = {
    "prepare.leave_out": "exclude_speakers",
    "prepare.only": "include_speakers",
    "llm.checkpointing": "gradient_checkpointing",
    "llm.quantise": "quantization",
    "training.content.rate": "lr",
    "training.content.warmup": "warmup_ratio",
    "training.descriptor.rate": "lr",
    "training.descriptor.warmup": "warmup_ratio",
    "training.accumulate": "gradient_accumulation_steps",
    "training.clip": "max_grad_norm",
    "training.reword": "paraphrase_targets",
}


def rename_keys(tree: dict[str, Any], place: str, section: str = "") -> list[str]:
    """Rename the keys of earlier versions in `tree`, in place, and return the renamed keys.

    `section` names the part of the configuration that `tree` holds; `place` is the file or option for
    the error. Raises UserError if `tree` has a key under both names.
    """
    done = []
    for old, new in RENAMED.items():
        *sections, key = old.removeprefix(f"{section}.").split(".")
        part: Any = tree
        for name in sections:
            part = part.get(name) if isinstance(part, dict) else None
        if not isinstance(part, dict) or key not in part:
            continue
        renamed = ".".join([*old.split(".")[:-1], new])
        if new in part:
            raise UserError(
                f"{place}: has both {old} and {renamed}, its present name: remove {old}"
            )
        part[new] = part.pop(key)
        done.append(f"{old} is now {renamed}")
    return done


def _translate(tree: dict[str, Any], place: str) -> dict[str, Any]:
    """`tree` with present keys; one warning names each new key."""
    if renamed := rename_keys(tree, place):
        warnings.warn(f"{place}: {', '.join(renamed)}", Notice, stacklevel=2)
    return tree


# ---- loading -------------------------------------------------------------------------------------------------------------


SYSTEMS = Path(__file__).parent / "systems"


def systems() -> list[str]:
    """Names of the systems of the paper's tables, and of one's own; each is a file that holds its difference alone."""
    return sorted(_system_files())


def _system_files() -> dict[str, Path]:
    return {
        path.stem: path
        for folder in (SYSTEMS, *map(Path, plugins.folders("systems")))
        for path in folder.glob("*.yaml")
    }


def load(path: Path | Sequence[Path] | None = None, settings: list[str] | None = None) -> Config:
    """The configuration of a file, or of several, later over earlier, changed by `key.sub=value` settings.

    A path may be the bare name of a system. Raises UserError with all faults at once.
    """
    paths = [path] if isinstance(path, Path) else list(path or ())
    tree: dict[str, Any] = {}
    for each in paths:
        _merge(
            tree,
            _read(
                each
                if each.exists() and not each.is_dir()
                else _system_files().get(str(each), each)
            ),
        )
    faults: list[str] = []
    for setting in settings or []:
        key, equals, text = setting.partition("=")
        if not equals:
            faults.append(f"--set {setting}: write key=value, for example --set training.beta=1e-3")
            continue
        value = _yaml(text, f"--set {setting}")
        _merge(tree, _translate(_nest(key.strip().split("."), value), f"--set {setting}"))
    config = _build(Config(), tree, "", faults)
    if faults:
        place = ", ".join(map(str, paths)) or "the settings"
        raise UserError(
            f"{place}: {len(faults)} fault(s) in the configuration:\n  " + "\n  ".join(faults)
        )
    assert config is not None
    return config


def dump(config: Config, path: Path) -> None:
    """Write the resolved configuration, every key with its value."""
    import yaml

    from serdesc.files import write_text

    write_text(
        path, yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, allow_unicode=True)
    )


def _yaml(text: str, place: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{place}: not YAML: {' '.join(str(error).split())}") from error


def _read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The file's keys over those of the files that it includes (paths are relative to the file)."""
    if path.resolve() in seen:
        raise UserError(
            f"{path}: includes itself, through {' -> '.join(p.name for p in seen)}: remove one include"
        )
    if path.is_dir() or not path.exists():
        what = (
            "a folder, not a configuration file" if path.is_dir() else "no such configuration file"
        )
        raise UserError(
            f"{path}: {what}, nor a system ({', '.join(systems())}). Recipes keep theirs in egs/*/conf/"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: byte {error.start + 1} is not UTF-8: save the file as UTF-8 (iconv -f LATIN1 -t UTF-8 {path})"
        ) from error
    tree: dict[str, Any] = _yaml(text, str(path)) or {}
    if not isinstance(tree, dict):
        raise UserError(
            f"{path}: holds {type(tree).__name__} where `key: value` lines are expected"
        )
    _translate(tree, str(path))
    includes = tree.pop("include", [])
    merged: dict[str, Any] = {}
    for name in [includes] if isinstance(includes, str) else includes:
        _merge(merged, _read(path.parent / name, (*seen, path.resolve())))
    _merge(merged, tree)
    return merged


def _merge(base: dict[str, Any], over: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _nest(keys: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return value  # type: ignore[no-any-return]


def _build(base: T, tree: Any, place: str, faults: list[str]) -> T | None:
    """`base` with the tree's values in place of its own: a section that is named in part keeps the rest of its own defaults."""
    if not isinstance(tree, dict):
        faults.append(f"{place}: '{tree}' where a section of keys is expected")
        return None
    hints = typing.get_type_hints(type(base), include_extras=True)
    values: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{place}.{key}" if place else str(key)
        if key not in hints:
            close = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(hints)}"
            faults.append(f"{name}: no such key; {hint}")
        elif dataclasses.is_dataclass(hints[key]):
            values[key] = _build(getattr(base, key), value, name, faults)
        else:
            values[key] = _value(hints[key], value, name, faults)
    return None if faults else dataclasses.replace(base, **values)  # type: ignore[type-var]


def _value(kind: Any, value: Any, place: str, faults: list[str]) -> Any:
    """`value` as the type of its field says; PyYAML reads 2e-4 as a string, and a number it is."""
    origin = typing.get_origin(kind)
    if origin is Annotated:
        kind, allowed = typing.get_args(kind)
        number = _value(kind, value, place, faults)
        if (
            isinstance(number, (int, float))
            and not isinstance(number, bool)
            and not allowed.holds(number)
        ):
            faults.append(f"{place}: '{value}' is not {allowed.description}")
        return number
    if origin is Literal:
        if value not in typing.get_args(kind):
            faults.append(
                f"{place}: '{value}' is not one of {', '.join(map(str, typing.get_args(kind)))}"
            )
        return value
    if origin is list:
        if not isinstance(value, list):
            faults.append(f"{place}: '{value}' where a list is expected")
            return []
        return [
            _value(typing.get_args(kind)[0], item, f"{place}[{i}]", faults)
            for i, item in enumerate(value)
        ]
    if origin in (typing.Union, types.UnionType):
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    if kind is float and not isinstance(value, bool):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    elif kind is str and value is None:  # `key:` with nothing behind it
        return ""
    elif kind is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    elif isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    wanted = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}[kind]
    faults.append(f"{place}: '{value}' where {wanted} is expected")
    return value
