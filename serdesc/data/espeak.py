"""espeak-ng through ctypes: phonemes of a text, and speech from SSML.

The library and its data are in the `espeakng-loader` wheel: no system package is needed.
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

# AUDIO_OUTPUT_SYNCHRONOUS: samples go to the callback, without a thread, which a fork would lose
_SYNCHRONOUS = 2
# espeakINITIALIZE_PHONEME_EVENTS: events for the start of each phoneme; the audio is the same
_WITH_PHONEMES = 1
_UTF8, _SSML = 1, 0x10
_PHONEME_SEPARATOR = ord("_")
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4, "word_gap": 7}
_PHONEME_EVENT = 7
SEED = 1


class _Event(ctypes.Structure):
    """espeak_EVENT; a list of events ends with type 0."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class Prosody:
    """espeak-ng's parameters."""

    rate: int = 175  # words a minute
    pitch: int = 50  # 0..99
    range: int = 50  # 0..99
    word_gap: int = 0  # units of 10 ms


@dataclass(frozen=True)
class Phone:
    """A synthesised phoneme."""

    start: float  # seconds
    name: str  # "_" is a pause
    position: int  # of its word in the SSML, in characters from 1


@functools.cache
def _library() -> tuple[ctypes.CDLL, int]:
    """The initialised library and its sample rate in Hz.

    After `cache_clear` it is another instance, with the state of a first call.
    """
    import espeakng_loader

    # espeak-ng rejects data paths of about 160 characters: use a short link.
    folder = tempfile.mkdtemp(prefix="espeak-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.symlink(espeakng_loader.get_data_path(), os.path.join(folder, "espeak-ng-data"))
    # a file of its own: the loader returns a file that is already loaded with its present state
    lib = ctypes.CDLL(shutil.copy(espeakng_loader.get_library_path(), folder))
    lib.espeak_TextToPhonemes.restype = ctypes.c_char_p
    sample_rate = lib.espeak_Initialize(_SYNCHRONOUS, 0, folder.encode(), _WITH_PHONEMES)
    if sample_rate <= 0:
        raise RuntimeError(
            f"espeak-ng did not start with its data in {folder}: reinstall the package"
            " espeakng-loader"
        )
    return lib, sample_rate


def _set_voice(voice: str) -> None:
    if _library()[0].espeak_SetVoiceByName(voice.encode()) != 0:
        raise UserError(
            f"espeak-ng has no voice '{voice}': name a language for measure.language (en-us, de,"
            " cmn), or language+variant for a voice (en-us+f2)"
        )


def phonemes(text: str, language: str = "en-us") -> list[str]:
    """espeak-ng's phonemes of `text`, without stress marks."""
    lib, _ = _library()
    _set_voice(language)
    pointer = ctypes.c_char_p(text.encode())
    clauses = []
    while pointer.value:  # each call reads one clause and advances the pointer, at the end to null
        clause = lib.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, _PHONEME_SEPARATOR << 8)
        clauses.append((clause or b"").decode())
    names = " ".join(clauses).replace(" ", "_").split("_")
    return [name for name in map(_unstressed, names) if name]


def _unstressed(name: str) -> str:
    return name.strip("',%=;:|")


def synthesise(
    ssml: str, voice: str, prosody: Prosody = Prosody()
) -> tuple[np.ndarray, int, list[Phone]]:
    """(S,) float32 samples in -1..1, the sample rate in Hz, and the phonemes without stress marks.

    espeak-ng has state: the second of two equal calls returns another wave. With `run_forked` every
    call has the same initial state.
    """
    lib, sample_rate = _library()
    lib.espeak_ng_SetRandSeed(ctypes.c_long(SEED))  # of breath noise; by default the time of day
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
                name = _unstressed(event.name.decode())
                phones.append(Phone(event.sample / sample_rate, name, event.position))
        return 0

    lib.espeak_SetSynthCallback(collect)
    text = ssml.encode()
    lib.espeak_Synth(text, len(text) + 1, 0, 0, 0, _UTF8 | _SSML, None, None)
    wave = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    return wave.astype(np.float32) / 32768.0, sample_rate, phones


def run_forked(
    job: Callable[[int], None],
    indices: Iterable[int],
    nj: int = 1,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Call `job(i)` for every index, each in its own forked child, at most `nj` at a time.

    done: called after each job. Every child starts with the library as initialised, so its speech
    does not depend on other jobs or on what this process synthesised before. Raises RuntimeError if
    a job fails.
    """
    _library.cache_clear()
    _library()
    running: dict[int, int] = {}

    def reap() -> None:
        pid, status = os.wait()
        index = running.pop(pid)
        if status != 0:
            raise RuntimeError(
                f"speech synthesis of item {index} failed (exit status {status}): its message is"
                " above"
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
    """Names of the voice variants of the library."""
    import espeakng_loader

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return sorted(path.name for path in folder.iterdir())
