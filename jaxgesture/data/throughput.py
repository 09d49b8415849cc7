"""How fast pairs of frames come out of a dataset, and where the time goes.

A pair costs two reads, two decodes and one change. Of these only the decoding cannot be avoided:
its share of a core's time says how much faster the rest could still become.
"""

import dataclasses
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxgesture.core.errors import UserError
from jaxgesture.data import augment as augmentation
from jaxgesture.data import pipeline
from jaxgesture.data.augment import AugmentConfig
from jaxgesture.data.frames import FrameDataset, decode_image

_ROUND = 32  # pairs
_MIN_ROUNDS = 5
_SETTLE = 8  # batches; what was made ahead before the clock started is used up by then


@dataclasses.dataclass(frozen=True)
class Throughput:
    """What was measured.

    Attributes:
        size: side of the frames, pixels.
        image_format: "jpeg" or "png".
        augment_on: where images were changed, see `pipeline.pairs`.
        read: seconds of one core for the two reads of a pair.
        decode: likewise for its two decodes, of bytes that are in memory.
        augment: likewise for drawing a change and, on the host, making it.
        pair: likewise for all of it, from the index to the pair.
        rates: pairs a second out of the pipeline, by number of workers.
        core_rate: pairs per second of a core's time, with 0 workers, if that was measured.
        cores: how many this process may use.
    """

    size: int
    image_format: str
    augment_on: str
    read: float
    decode: float
    augment: float
    pair: float
    rates: dict[int, float]
    core_rate: float | None
    cores: int

    @property
    def decode_limit(self) -> float:
        """Pairs a second of a core that does nothing but decode."""
        return 1 / self.decode

    @property
    def share(self) -> float | None:
        """`core_rate` as a share of the limit."""
        return None if self.core_rate is None else self.core_rate / self.decode_limit

    def markdown(self) -> str:
        """Two tables: pairs a second, and the microseconds of a core that a pair takes."""
        what = f"{self.size}-pixel {self.image_format.upper()} frames, changed on {self.augment_on}"
        lines = [f"{what}; {self.cores} cores", "", "| workers | pairs/s |", "|---|---|"]
        lines += [f"| {workers} | {rate:.0f} |" for workers, rate in self.rates.items()]
        if self.core_rate is not None:
            lines += [
                "",
                f"{self.core_rate:.0f} pairs per second of a core (0 workers, all threads), "
                f"{self.share:.0%} of the {self.decode_limit:.0f} of decoding alone.",
            ]
        rest = self.pair - self.read - self.decode - self.augment
        parts = {
            "read": self.read,
            "decode": self.decode,
            "augment": self.augment,
            "rest": max(rest, 0.0),
            "all": self.pair,
        }
        lines += ["", "| a pair, one thread | us | share |", "|---|---|---|"]
        lines += [f"| {k} | {1e6 * v:.0f} | {v / self.pair:.0%} |" for k, v in parts.items()]
        return "\n".join(lines) + "\n"

    def values(self) -> dict[str, Any]:
        """All of it, for JSON."""
        found = dataclasses.asdict(self)
        return {**found, "decode_limit": self.decode_limit, "share": self.share}


def measure(
    dataset: FrameDataset,
    *,
    split: str = "train",
    workers: Sequence[int] = (0, 1, 2),
    seconds: float = 5.0,
    batch_size: int = 20,
    augment: AugmentConfig | None = None,
    augment_on: str = "device",
    boxes: bool = False,
) -> Throughput:
    """Measures the pipeline of stage 1; no frame is kept in memory.

    The parts of a pair are timed by the thread's own clock, in short rounds of which the fastest
    counts: whatever else the machine does only adds.

    Args:
        dataset: the frames.
        split: of which pairs are made.
        workers: numbers of worker processes to try; 0 are threads of this process.
        seconds: for each of them, and for the parts together.
        batch_size: pairs of a batch.
        augment: the change, `AugmentConfig()` for None.
        augment_on: "device" or "host".
        boxes: with boxes of the driving frames.

    Raises:
        UserError: no such split, or a wrong argument.
    """
    if not 0 < seconds < math.inf:
        raise UserError(f"{seconds:g} seconds of measuring; choose a number above 0")
    if not workers or min(workers) < 0:
        raise UserError(f"workers {list(workers)}: name numbers of processes, such as 0,1,2")
    config = AugmentConfig() if augment is None else augment
    settings = {
        "split": split,
        "batch_size": batch_size,
        "seed": 0,
        "augment": config,
        "augment_on": augment_on,
        "boxes": boxes,
        "cache": False,
    }
    parts = _parts(dataset, split, config, augment_on, boxes, seconds)
    rates: dict[int, float] = {}
    core_rate = None
    for count in workers:
        stream = pipeline.pairs(dataset, workers=count, **settings)(0)
        rates[count], used = _rate(stream, batch_size, seconds)
        if count == 0:
            core_rate = used
    affinity = getattr(os, "sched_getaffinity", None)
    return Throughput(
        size=dataset.size,
        image_format="jpeg" if _is_jpeg(dataset, split) else "png",
        augment_on=augment_on,
        rates=rates,
        core_rate=core_rate,
        cores=len(affinity(0)) if affinity else os.cpu_count() or 1,
        **parts,
    )


def _is_jpeg(dataset: FrameDataset, split: str) -> bool:
    return dataset.records.read(split, 0)["image"].startswith(b"\xff\xd8")


def _parts(
    dataset: FrameDataset,
    split: str,
    config: AugmentConfig,
    augment_on: str,
    boxes: bool,
    seconds: float,
) -> dict[str, float]:
    """The thread's seconds of a pair and of its parts."""
    items = pipeline._pair_items(
        dataset, split, config, "random", augment_on=augment_on, boxes=boxes
    )
    rng = np.random.default_rng(0)
    chosen = [int(i) for i in rng.integers(len(items), size=_ROUND)]
    places = [int(i) for i in rng.integers(len(items), size=2 * _ROUND)]
    examples = [dataset.records.read(split, place) for place in places]
    encoded = [example["image"] for example in examples]
    images = [decode_image(data) for data in encoded]

    def read() -> None:
        for place in places:
            dataset.records.read(split, place)

    def decode() -> None:
        for data in encoded:
            decode_image(data)

    def change() -> None:
        for number in range(_ROUND if config.changes else 0):
            drawn = augmentation.draw(config, rng)
            if boxes:
                drawn.apply_to_boxes(examples[2 * number]["boxes"])
            if augment_on == "device":
                drawn.numbers()
            else:
                drawn.apply(images[2 * number])
                drawn.apply(images[2 * number + 1])

    def pair() -> None:
        for item in chosen:
            items.example(item, rng)

    rounds = {"read": read, "decode": decode, "augment": change, "pair": pair}
    return {name: taken / _ROUND for name, taken in _fastest(rounds, seconds).items()}


def _fastest(rounds: dict[str, Callable[[], None]], seconds: float) -> dict[str, float]:
    """The shortest of many rounds of each, which take turns."""
    best = dict.fromkeys(rounds, math.inf)
    end = time.perf_counter() + seconds
    done = 0
    while done < _MIN_ROUNDS or time.perf_counter() < end:
        for name, function in rounds.items():
            start = time.thread_time()
            function()
            best[name] = min(best[name], time.thread_time() - start)
        done += 1
    return best


def _rate(stream: Any, batch_size: int, seconds: float) -> tuple[float, float]:
    """Pairs a second, and per second of the time of this process on all cores."""
    try:
        for _ in range(_SETTLE):
            next(stream)
        start, used, count = time.perf_counter(), time.process_time(), 0
        while count == 0 or time.perf_counter() - start < seconds:
            next(stream)
            count += batch_size
        taken = time.perf_counter() - start
        return count / taken, count / max(time.process_time() - used, 1e-9)
    finally:
        stream.close()
