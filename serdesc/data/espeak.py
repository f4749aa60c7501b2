"""espeak-ng through ctypes: phonemes of a text, and speech from SSML.

The library and its data come from the `espeakng-loader` wheel, so nothing has to be installed on the system.
API: https://github.com/espeak-ng/espeak-ng/blob/master/src/include/espeak-ng/speak_lib.h
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable

import numpy as np

from serdesc.errors import UserError

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples go to the callback, and no thread is started that a fork would lose
_WITH_PHONEMES = 1  # espeakINITIALIZE_PHONEME_EVENTS: the callback also hears when each phoneme begins; the sound is the same
_UTF8, _SSML = 1, 0x10
_PHONEME_SEPARATOR = ord("_")
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4, "word_gap": 7}
_PHONEME_EVENT = 7
SEED = 1


class _Event(ctypes.Structure):
    """espeak_EVENT; the list that a callback gets ends with type 0."""

    _fields_ = [
        ("type", ctypes.c_int), ("identifier", ctypes.c_uint), ("position", ctypes.c_int), ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int), ("sample", ctypes.c_int), ("user", ctypes.c_void_p), ("name", ctypes.c_char * 8),
    ]  # fmt: skip


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class Prosody:
    """espeak-ng's knobs: rate in words a minute, pitch and range in 0..99, word_gap in units of 10 ms."""

    rate: int = 175
    pitch: int = 50
    range: int = 50
    word_gap: int = 0


@dataclass(frozen=True)
class Phone:
    """A phoneme as it was spoken; `position` counts the characters of the SSML before its word, from 1; "_" is a pause."""

    start: float  # seconds
    name: str
    position: int


@functools.cache
def _library() -> tuple[ctypes.CDLL, int]:
    """The initialised library and its sample rate in Hz."""
    import espeakng_loader

    # espeak-ng refuses data paths of about 160 characters, so it is shown a short link instead.
    folder = tempfile.mkdtemp(prefix="espeak-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.symlink(espeakng_loader.get_data_path(), os.path.join(folder, "espeak-ng-data"))
    lib = ctypes.CDLL(espeakng_loader.get_library_path())
    lib.espeak_TextToPhonemes.restype = ctypes.c_char_p
    sample_rate = lib.espeak_Initialize(_SYNCHRONOUS, 0, folder.encode(), _WITH_PHONEMES)
    if sample_rate <= 0:
        raise RuntimeError(
            f"espeak-ng did not start with its data in {folder}: reinstall the package espeakng-loader"
        )
    return lib, sample_rate


def _set_voice(voice: str) -> None:
    if _library()[0].espeak_SetVoiceByName(voice.encode()) != 0:
        raise UserError(
            f"espeak-ng has no voice '{voice}': name a language for measure.language (en-us, de, cmn), or language+variant for a voice (en-us+f2)"
        )


def phonemes(text: str, language: str = "en-us") -> list[str]:
    """espeak-ng's phonemes of `text`, stress marks left out."""
    lib, _ = _library()
    _set_voice(language)
    pointer = ctypes.c_char_p(text.encode())
    clauses = []
    while (
        pointer.value
    ):  # each call takes one clause and moves the pointer on; it is null at the end
        clause = lib.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, _PHONEME_SEPARATOR << 8)
        clauses.append((clause or b"").decode())
    sounds = " ".join(clauses).replace(" ", "_").split("_")
    return [sound for sound in map(_unstressed, sounds) if sound]


def _unstressed(name: str) -> str:
    return name.strip("',%=;:|")


def synthesise(
    ssml: str, voice: str, prosody: Prosody = Prosody()
) -> tuple[np.ndarray, int, list[Phone]]:
    """Speech of `ssml` as float32 samples in -1..1, the sample rate in Hz, and the phonemes in it, stress marks left out.

    espeak-ng keeps state between calls: the same call twice gives two waveforms. `each_in_child` gives every call the same start.
    """
    lib, sample_rate = _library()
    lib.espeak_ng_SetRandSeed(
        ctypes.c_long(SEED)
    )  # a voice's breath is noise, and its seed otherwise the time of day
    _set_voice(voice)
    for name, number in _PARAMETERS.items():
        if name != "volume":
            lib.espeak_SetParameter(number, getattr(prosody, name), 0)
    pieces: list[np.ndarray] = []
    phones: list[Phone] = []

    @_CALLBACK
    def collect(samples, count, events):  # type: ignore[no-untyped-def]
        if samples and count > 0:
            pieces.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        i = 0
        while events[i].type:
            event, i = events[i], i + 1
            if event.type == _PHONEME_EVENT:
                phones.append(
                    Phone(
                        event.sample / sample_rate, _unstressed(event.name.decode()), event.position
                    )
                )
        return 0

    lib.espeak_SetSynthCallback(collect)
    text = ssml.encode()
    lib.espeak_Synth(text, len(text) + 1, 0, 0, 0, _UTF8 | _SSML, None, None)
    wave = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    return wave.astype(np.float32) / 32768.0, sample_rate, phones


def each_in_child(
    job: Callable[[int], None],
    indices: Iterable[int],
    nj: int = 1,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Call `job(i)` for every index in a forked child of its own, at most `nj` at a time.

    Every child starts from the library just initialised, so what it says does not depend on what was said before it.
    """
    _library()
    running: dict[int, int] = {}

    def reap() -> None:
        pid, status = os.wait()
        index = running.pop(pid)
        if status != 0:
            raise RuntimeError(
                f"speech synthesis of item {index} failed (exit status {status}): its message stands above"
            )
        done()

    for index in indices:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                job(index)
                code = 0
            except BaseException as error:  # the child must never return into the parent's stack
                os.write(2, f"item {index}: {error!r}\n".encode())
            finally:
                os._exit(code)
        running[pid] = index
        if len(running) >= nj:
            reap()
    while running:
        reap()


def variants() -> list[str]:
    """Names of the voice variants that the library brings."""
    import espeakng_loader

    return sorted(
        p.name for p in (Path(espeakng_loader.get_data_path()) / "voices" / "!v").iterdir()
    )
