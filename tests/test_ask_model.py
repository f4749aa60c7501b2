"""tools/ask_model.py against a stub of an OpenAI-compatible endpoint."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
import soundfile
from helpers.cli import serdesc

SCRIPT = Path(__file__).parents[1] / "tools" / "ask_model.py"
Answer = Callable[[int, dict[str, Any]], tuple[int, str]]


class Stub:
    """An endpoint: `answer` gives code and text of the n-th request."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.answer: Answer = lambda n, body: (200, "A woman says happily.")
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stub.requests.append(body)
                stub.keys.append(self.headers["Authorization"])
                code, text = stub.answer(len(stub.requests), body)
                tree = {"choices": [{"message": {"content": text}}]}
                content = json.dumps(tree).encode() if code == 200 else text.encode()
                self.send_response(code)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def stub() -> Iterator[Stub]:
    served = Stub()
    yield served
    served.server.shutdown()


@pytest.fixture
def part(corpus: Path) -> Path:
    assert serdesc("annotate", corpus)[0] == 0
    return corpus / "fold1" / "test"


def ask(part: Path, hyp: Path, stub: Stub, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(part), str(hyp), "--url", stub.url]
    command += ["--model", "their-model", "--wait", "0.01", "--workers", "2", *more]
    environment = {"OPENAI_API_KEY": "k-1", "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_answers_are_scored_and_stand_in_a_table(part: Path, tmp_path: Path, stub: Stub) -> None:
    hyp = tmp_path / "exp" / "their" / "fold1" / "decode_test" / "hyp.jsonl"
    done = ask(part, hyp, stub)
    assert done.returncode == 0, done.stderr
    assert len(stub.requests) == 6 and set(stub.keys) == {"Bearer k-1"}
    sound, text = stub.requests[0]["messages"][0]["content"]
    wave, rate = soundfile.read(io.BytesIO(base64.b64decode(sound["input_audio"]["data"])))
    assert rate == 16_000 and len(wave) > 4000
    assert "angry, happy, sad" in text["text"] and stub.requests[0]["temperature"] == 0
    code, output = serdesc("score", part, "--hyp", hyp, "--metric", "ua,gender")
    assert code == 0, output
    score = json.loads(hyp.with_name("score.json").read_text())["scores"][0]
    assert score["value"] == pytest.approx(100 / 3, abs=0.01)
    code, output = serdesc("table", 2, tmp_path / "exp" / "their")
    assert code == 0 and "33.3" in output, output
    again = ask(part, hyp, stub)
    assert again.returncode == 0 and "exists already" in again.stderr and len(stub.requests) == 6


def test_failures_are_tried_again_and_a_second_run_goes_on(
    part: Path, tmp_path: Path, stub: Stub
) -> None:
    hyp = tmp_path / "hyp.jsonl"
    stub.answer = lambda n, body: (503, "busy") if n > 4 else (200, f"A sad man {n}.")
    done = ask(part, hyp, stub)
    assert done.returncode == 1 and "503 busy" in done.stderr and not hyp.exists()
    assert "2 of 6 recordings have no answer" in done.stderr and "Traceback" not in done.stderr
    stub.requests.clear()
    stub.answer = lambda n, body: (429, "slow down") if n == 1 else (200, "A sad man.")
    done = ask(part, hyp, stub)
    assert done.returncode == 0, done.stderr
    assert len(stub.requests) == 3  # two recordings, one of them twice
    rows = [json.loads(line) for line in hyp.read_text().splitlines()]
    assert [row["utt_id"] for row in rows] == sorted(row["utt_id"] for row in rows)
    assert len(rows) == 6


def test_a_refused_request_is_not_repeated(part: Path, tmp_path: Path, stub: Stub) -> None:
    stub.answer = lambda n, body: (401, "no such key")
    done = ask(part, tmp_path / "hyp.jsonl", stub)
    assert done.returncode == 2 and "refused: 401 no such key" in done.stderr
    assert len(stub.requests) <= 4


def test_answers_of_another_model_are_kept(part: Path, tmp_path: Path, stub: Stub) -> None:
    hyp = tmp_path / "hyp.jsonl"
    assert ask(part, hyp, stub).returncode == 0
    done = ask(part, hyp, stub, "--model", "another")
    assert done.returncode == 2 and "of another model, prompt or data" in done.stderr
