"""How long a run over very many videos takes, and what it costs: a model, and its simulation.

    python tools/bench/scale_model.py --videos 1000000 100000000 --machines 1 10 100
    python tools/bench/scale_model.py --videos 1000000 --machines 10 --simulate

`docs/scale.md` describes the model and where its figures come from.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
from dataclasses import asdict, dataclass

import numpy as np

# Longer lists are given as several, for each process that has a list holds all of it.
LONGEST_LIST = 1_000_000


@dataclass(frozen=True)
class Work:
    """What a video costs.

    Attributes:
        video_seconds: of one core, for a video without trouble.
        video_deviation: standard deviation of these seconds, as a part of their mean.
        lost_share: part of the videos that lose their process.
        lost_seconds: of one core for such a video: two attempts, and a process started afresh.
        runner_seconds: of the process that has the list, for each video.
        list_seconds: of each start, for each video of the list, before the first is worked on.
        part_videos: that a process takes at once; the last parts end at different times.
    """

    video_seconds: float
    video_deviation: float = 1.0
    lost_share: float = 0.0
    lost_seconds: float = 240.0
    runner_seconds: float = 0.00025
    list_seconds: float = 1.1e-6
    part_videos: int = 64

    @property
    def mean_seconds(self) -> float:
        """Of one core, for a video of the list."""
        return self.video_seconds * (1 - self.lost_share) + self.lost_seconds * self.lost_share


@dataclass(frozen=True)
class Cluster:
    """Machines that share a run.

    Attributes:
        machines: of the run.
        cores: of each; each core has one process.
        drivers: processes that have the list: one for each machine, or one with Ray.
        hourly_price: of a machine.
    """

    machines: int
    cores: int
    drivers: int
    hourly_price: float


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Attributes:
        seconds: from the start to the last result.
        machine_hours: of all machines.
        price: of these.
        is_bound_by_runner: whether more cores would not help.
    """

    seconds: float
    machine_hours: float
    price: float
    is_bound_by_runner: bool


def estimate(videos: int, work: Work, cluster: Cluster) -> Estimate:
    """Time and cost of a run.

    The cores divide the work, unless those who have the list are slower. At the end, some cores
    are done before others: the expected wait is that of half a part, or of half a lost video. Lists
    longer than `LONGEST_LIST` are several runs, one after the other.
    """
    cores = cluster.machines * cluster.cores
    by_cores = videos * work.mean_seconds / cores
    by_runner = videos * work.runner_seconds / cluster.drivers
    tail = min(work.part_videos, videos / cores) * work.mean_seconds / 2
    tail = max(tail, work.lost_seconds / 2 if work.lost_share else 0.0)
    runs = -(-videos // LONGEST_LIST)
    seconds = videos * work.list_seconds + max(by_cores, by_runner) + runs * tail
    hours = seconds * cluster.machines / 3600
    return Estimate(seconds, hours, hours * cluster.hourly_price, by_runner > by_cores)


def simulate(videos: int, work: Work, cluster: Cluster, seed: int) -> float:
    """Seconds of a run whose videos take random times, part after part, on each core.

    A core that is free asks the process of its machine that has the list, which serves one after
    the other. The times of videos are lognormal.
    """
    random = np.random.default_rng(seed)
    spread = math.log1p(work.video_deviation**2)
    mean = math.log(work.video_seconds) - spread / 2
    times = random.lognormal(mean, math.sqrt(spread), videos)
    times[random.random(videos) < work.lost_share] = work.lost_seconds
    starts = np.arange(0, videos, work.part_videos)
    parts = np.add.reduceat(times, starts)
    served = np.minimum(videos - starts, work.part_videos) * work.runner_seconds
    begin = videos * work.list_seconds
    free = [(begin, core) for core in range(cluster.machines * cluster.cores)]
    heapq.heapify(free)
    drivers = [begin] * cluster.drivers
    last = begin
    for seconds, service in zip(parts.tolist(), served.tolist(), strict=True):
        now, core = heapq.heappop(free)
        driver = core % cluster.drivers
        drivers[driver] = max(drivers[driver], now) + service
        # Records of one part are taken while the next one is in work.
        end = max(now + seconds, drivers[driver])
        heapq.heappush(free, (end, core))
        last = max(last, end)
    return last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--videos", type=int, nargs="+", default=[1_000_000, 100_000_000])
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--cores", type=int, default=16, help="of a machine")
    parser.add_argument("--drivers", type=int, help="default: one a machine; with Ray 1")
    parser.add_argument("--video-seconds", type=float, default=1.0, help="of one core")
    parser.add_argument("--runner-seconds", type=float, default=Work.runner_seconds)
    parser.add_argument("--lost-share", type=float, default=0.0)
    parser.add_argument("--hourly-price", type=float, default=1.0, help="of a machine")
    parser.add_argument("--simulate", action="store_true", help="draw the times of all videos")
    given = parser.parse_args()
    work = Work(
        given.video_seconds, lost_share=given.lost_share, runner_seconds=given.runner_seconds
    )
    rows = []
    for videos in given.videos:
        for machines in given.machines:
            drivers = given.drivers or machines
            cluster = Cluster(machines, given.cores, drivers, given.hourly_price)
            row = {"videos": videos, "machines": machines}
            row |= asdict(estimate(videos, work, cluster))
            if given.simulate:
                row["simulated_seconds"] = simulate(videos, work, cluster, seed=0)
            rows.append(row)
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
