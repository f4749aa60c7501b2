#!/usr/bin/env python3
"""Answers of an audio LLM behind an OpenAI-compatible endpoint, for `serdesc score` and `table`.

    tools/ask_model.py data/mini/fold1/test exp/their-model/fold1/decode_test/hyp.jsonl \\
      --url http://localhost:8000/v1 --model Qwen/Qwen2.5-Omni-7B
    serdesc score data/mini/fold1/test --hyp exp/their-model/fold1/decode_test/hyp.jsonl

Each recording is sent as 16 kHz WAV with PROMPT to URL/chat/completions, at temperature 0. Answers
are appended as they come, so the same command goes on after an interruption; hyp.made.json beside
them has the prompt, the model and the address. A key is read from the variable --key-variable.
"""

from __future__ import annotations

import base64
import io
import json
import os
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import soundfile
import typer

from serdesc.data import audio, datadir
from serdesc.data.datadir import Utterance
from serdesc.errors import FailedError, UserError
from serdesc.files import (
    partial_of,
    read_json,
    read_jsonl,
    write_errors,
    write_json,
    write_jsonl,
)
from serdesc.progress import progress

PROMPT = (
    "Listen to the recording and describe the speech in one English sentence: quote what is said,"
    " and state the speaker's sex and age group, the pitch (low, normal, high), the energy (low,"
    " normal, high), the speed (slow, normal, fast), the words that are stressed, and the emotion,"
    " one of: {emotions}. Answer with that sentence only."
)
TRIES, WAIT = 6, 2.0  # of a request; seconds before the second try, doubled for each further
REFUSED = (400, 401, 403, 404, 422)  # codes that a repetition does not change


class Client:
    """The endpoint."""

    def __init__(self, url: str, model: str, key: str, timeout: float, wait: float) -> None:
        self.address = f"{url.rstrip('/')}/chat/completions"
        self.model, self.key, self.timeout, self.wait = model, key, timeout, wait

    def ask(self, prompt: str, wav: bytes) -> str:
        """The model's answer. Raises FailedError after TRIES, UserError for a refused request."""
        sound = {"data": base64.b64encode(wav).decode(), "format": "wav"}
        content = [{"type": "input_audio", "input_audio": sound}, {"type": "text", "text": prompt}]
        messages = [{"role": "user", "content": content}]
        body = {"model": self.model, "temperature": 0, "max_tokens": 400, "messages": messages}
        reason = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(self.wait * 2 ** (attempt - 1))
            try:
                return self._send(body)
            except urllib.error.HTTPError as error:
                reason = f"{error.code} {error.read(500).decode(errors='replace')}"
                if error.code in REFUSED:
                    raise UserError(f"{self.address}: refused: {reason}") from error
            except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
                reason = f"{type(error).__name__}: {error}"
        raise FailedError(f"{self.address}: no answer in {TRIES} tries ({reason})")

    def _send(self, body: dict[str, Any]) -> str:
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.address, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=self.timeout) as response:
            answer = json.load(response)["choices"][0]["message"]["content"]
        return answer if isinstance(answer, str) else "".join(part["text"] for part in answer)


def wav_of(utt: Utterance) -> bytes:
    """The recording as a 16 kHz WAV file."""
    file = io.BytesIO()
    soundfile.write(file, utt.load_audio(), audio.SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def answers(
    utterances: list[Utterance], client: Client, prompt: str, hyp: Path, workers: int
) -> None:
    """Write `hyp`; answers of an interrupted run are kept.

    Raises FailedError if an answer is missing, after all others are stored.
    """
    partial = partial_of(hyp)
    stored = read_jsonl(partial, growing=True) if partial.exists() else []
    done = {row["utt_id"]: row for row in stored}
    write_jsonl(partial, done.values())  # without a line that was cut off
    missing: list[str] = []
    lock, refused = threading.Lock(), threading.Event()
    remaining = [utt for utt in utterances if utt.utt_id not in done]
    with partial.open("a", encoding="utf-8") as file, progress(
        "ask", len(remaining), "utterances"
    ) as advance:

        def one(utt: Utterance) -> None:
            if refused.is_set():
                return
            try:
                row = {"utt_id": utt.utt_id, "response": client.ask(prompt, wav_of(utt))}
            except UserError:
                refused.set()
                raise
            except FailedError as error:
                with lock:
                    missing.append(f"{utt.utt_id}: {error}")
                return
            with lock:
                with write_errors(partial):
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                    file.flush()
                done[utt.utt_id] = row
                advance(1)

        with ThreadPoolExecutor(workers) as pool:
            for result in [pool.submit(one, utt) for utt in remaining]:
                result.result()
    if missing:
        raise FailedError(
            f"{len(missing)} of {len(utterances)} recordings have no answer, the first: "
            f"{missing[0]}. The others are kept: run the same command again"
        )
    write_jsonl(hyp, [done[utt.utt_id] for utt in utterances])
    partial.unlink()


def main(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A part of a fold.")],
    hyp: Annotated[Path, typer.Argument(metavar="HYP", help="The hyp.jsonl to write.")],
    url: Annotated[str, typer.Option(help="Such as http://localhost:8000/v1.")],
    model: Annotated[str, typer.Option(help="The model's name at the endpoint.")],
    key_variable: Annotated[str, typer.Option(help="Environment variable.")] = "OPENAI_API_KEY",
    workers: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 4,
    timeout: Annotated[float, typer.Option(help="Seconds for an answer.")] = 120.0,
    wait: Annotated[float, typer.Option(help="Seconds before a second try.")] = WAIT,
) -> None:
    try:
        utterances = datadir.read(data)
        emotions = sorted({utt.emotion for utt in utterances if utt.emotion})
        prompt = PROMPT.format(emotions=", ".join(emotions) or "angry, happy, neutral, sad")
        made = {"model": model, "url": url, "prompt": prompt, "data": datadir.identity(utterances)}
        record = hyp.with_suffix(".made.json")
        if hyp.exists() or partial_of(hyp).exists():
            known = read_json(record) if record.exists() else made
            if {**known, "url": url} != made:
                raise UserError(f"{hyp}: of another model, prompt or data ({record}): name another")
        if hyp.exists():
            typer.echo(f"{hyp} exists already; remove it to ask again", err=True)
            return
        hyp.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, made)
        client = Client(url, model, os.environ.get(key_variable, ""), timeout, wait)
        answers(utterances, client, prompt, hyp, workers)
        typer.echo(str(hyp))
    except (UserError, FailedError) as error:
        typer.echo(f"ask_model.py: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, UserError) else 1) from None


if __name__ == "__main__":
    typer.run(main)
