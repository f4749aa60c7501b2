"""A report of 5,531 made-up answers of 4.5 s: size, seconds to build and to open.

tools/venv/bin/python tools/bench/html_report.py [--utterances 5531] [--folder DIR]

Needs Chromium and chromium-driver for the seconds to open. What annotate, decode and score write is
made up first (it is not part of the time): random captions, curves and KL, one recording for all.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from serdesc import config as configs
from serdesc.captions import writer
from serdesc.captions.fields import AGES, ENERGY, GENDERS, PITCH, SPEED, Fields
from serdesc.data import annotate, curves, datadir
from serdesc.data.datadir import Utterance
from serdesc.files import write_json, write_jsonl
from serdesc.report import experiment
from serdesc.scoring import evaluate, report

SECONDS, FOLDS = 4.5, 5
METRICS = "ua,wa,macro_f1,wer,cer,pitch,energy,speed,gender,age,emphasis"
EMOTIONS = ("angry", "happy", "neutral", "sad")
WORDS = (
    "the of and to that was for with his from they which would there been their about could other"
    " into little people before through after again many because thought another between always"
).split()


def utterance(i: int, wav: Path, rng: np.random.Generator) -> Utterance:
    words = rng.choice(WORDS, 12)
    return Utterance(
        utt_id=f"Ses{i % FOLDS + 1:02d}F_impro{i:05d}",
        wav=str(wav),
        spk=f"spk{i % 10}",
        text=" ".join(words),
        seconds=SECONDS,
        session=f"session{i % FOLDS + 1}",
        emotion=str(rng.choice(EMOTIONS)),
        emphasis=(str(words[3]),),
        gender=str(rng.choice(GENDERS)),
        age=float(rng.integers(15, 70)),
        measure={
            "pitch": float(rng.normal(180, 40)),
            "energy": float(rng.normal(0.7, 0.1)),
            "speed": float(rng.normal(0.08, 0.02)),
        },
    )


def answer(utt: Utterance, rng: np.random.Generator) -> dict[str, Any]:
    words = (utt.text or "").split()
    for k in rng.integers(0, len(words), 2):
        words[k] = str(rng.choice(WORDS))
    fields = Fields(
        transcript=" ".join(words),
        emotion=str(rng.choice(EMOTIONS)),
        pitch=str(rng.choice(PITCH)),
        energy=str(rng.choice(ENERGY)),
        speed=str(rng.choice(SPEED)),
        age=str(rng.choice(AGES)),
        gender=str(rng.choice(GENDERS)),
        emphasis=(words[3],),
    )
    posterior = rng.dirichlet(np.ones(len(EMOTIONS)))
    return {
        "utt_id": utt.utt_id,
        "response": writer.render(fields, utt.utt_id),
        "posterior": dict(zip(EMOTIONS, map(float, posterior))),
    }


def random_bytes(count: int, rng: np.random.Generator) -> str:
    return base64.b64encode(rng.integers(0, 256, count, np.uint8).tobytes()).decode()


def make(folder: Path, count: int) -> Path:
    """The files that a report reads; returns the experiment."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    wav = folder / "one.wav"
    soundfile.write(wav, 0.1 * rng.standard_normal(int(SECONDS * 16_000)), 16_000)
    data, exp = folder / "data", folder / "exp"
    utterances = datadir.write(data, [utterance(i, wav, rng) for i in range(count)])
    config = configs.load(settings=["report.curves=false"])
    write_json(data / "measure.json", configs_of(config))
    annotate.annotate(data, config, nj=1)
    slots = int(np.ceil(SECONDS * curves.RATE))
    made = []
    for utt in utterances:
        one = {name: random_bytes(slots, rng) for name in ("f0", "level", "rate")}
        made.append((utt, {"seconds": SECONDS, **one, "peaks": random_bytes(2 * slots, rng)}))
    curves.append(data, made)
    for fold in range(1, FOLDS + 1):
        test = datadir.read(data / f"fold{fold}" / "test")
        hyp = exp / f"fold{fold}" / "decode_test" / "hyp.jsonl"
        write_jsonl(hyp, [answer(utt, rng) for utt in test])
        write_json(hyp.with_suffix(".made.json"), {"directory": str(data / f"fold{fold}" / "test")})
        total = slots * len(test)
        tensors = {"ends": np.arange(slots, total + 1, slots)}
        for branch in ("content", "descriptor"):
            tensors[f"kl_{branch}"] = rng.random(total).astype(np.float16)
            tensors[f"layer_weights_{branch}"] = np.full(24, 1 / 24, np.float32)
        record = {"utt_ids": [utt.utt_id for utt in test], "rate": curves.RATE}
        path = hyp.with_suffix(".branches.safetensors")
        save_file(tensors, path, {"utterances": json.dumps(record)})
        configs.dump(config, hyp.parents[1] / "config.yaml")
        request = evaluate.Request.of(data / f"fold{fold}" / "test", hyp, config, METRICS)
        evaluate.evaluate(request).write(hyp.with_name("score.json"))
    report.report(exp, "test", config)
    return exp


def configs_of(config: configs.Config) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(config.measure)


def opened(page: Path) -> dict[str, float]:
    """Milliseconds in headless Chromium: until the page is drawn, and of the slowest frames."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    from helpers.browser import chromium

    script = """
      const done = arguments[arguments.length - 1];
      const rows = document.getElementById('rows'), times = [];
      let last = performance.now(), n = 0;
      (function frame() {
        const now = performance.now();
        times.push(now - last); last = now;
        rows.scrollTop += 900;
        if (++n < 200) requestAnimationFrame(frame); else {
          times.sort((a, b) => a - b);
          done([times[100], times[198]]);
        }
      })();"""
    with chromium() as browser:
        found: dict[str, float] = {}
        for view in ("overview", "utterances"):
            browser.open(page, f"#view={view}")
            entry = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
            found[f"open, {view}"] = browser.run(f"return {entry}")
        median, slowest = browser.driver.execute_async_script(script)
        return {**found, "scroll, median frame": median, "scroll, slowest of 200": slowest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--utterances", type=int, default=5531)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="serdesc-report-"))
    folder.mkdir(parents=True, exist_ok=True)
    exp = make(folder, arguments.utterances)
    start = time.perf_counter()
    page = experiment.write(exp, "test", configs.Config(), folder / "page", nj=2)
    took = time.perf_counter() - start
    size = sum(path.stat().st_size for path in (folder / "page").rglob("*") if path.is_file())
    print(f"{arguments.utterances} utterances of {SECONDS} s, audio linked")
    print(f"size: {size / 1e6:.2f} MB")
    for name in ("rows", "summary"):
        print(f"  {name}.js: {(folder / f'page/data/{name}.js').stat().st_size / 1e6:.2f} MB")
    print(f"build: {took:.1f} s")
    for name, milliseconds in opened(page).items():
        print(f"{name}: {milliseconds:.0f} ms")
    if arguments.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
