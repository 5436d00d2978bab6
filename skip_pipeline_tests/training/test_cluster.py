import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from skip_pipeline.errors import TrainingError
from skip_pipeline.training.batches import Share
from skip_pipeline.training.cluster import Cluster, cluster_from, meet, share_of
from skip_pipeline.training.worker_processes import _free_addresses

FACTS = {"training sessions": 7}
SETTINGS = {"preset": "fast", "seed": 3}


def config(*addresses: str, index: Any = 0, job: str = "worker", **more: Any) -> dict[str, str]:
    task = {"type": job, "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses, **more}, "task": task})}


def test_tf_config_says_who_the_workers_are() -> None:
    cluster = cluster_from(config("a:1", "[::1]:2", "c:3", index=1))

    assert cluster == Cluster(("a:1", "[::1]:2", "c:3"), 1)
    assert share_of(cluster) == Share(1, 3)
    assert not cluster.chief
    assert replace(cluster, index=0).chief
    assert cluster_from({"TF_CONFIG": cluster.to_json()}) == cluster


@pytest.mark.parametrize("environment", [{}, {"TF_CONFIG": ""}, config("a:1")])
def test_one_worker_is_no_cluster(environment: dict[str, str]) -> None:
    assert cluster_from(environment) is None
    assert share_of(None) == Share(0, 1)


@pytest.mark.parametrize(
    "environment",
    [
        {"TF_CONFIG": "workers"},
        {"TF_CONFIG": "[]"},
        {"TF_CONFIG": '{"cluster": {}}'},
        config("a:1", "b:2", index=2),
        config("a:1", "b:2", index=-1),
        config("a:1", "b:2", index="first"),
        config("a:1", "b", index=0),
        config("a:1", "a:1"),
        config("a:1", "b:2", job="chief"),
        config("a:1", "b:2", ps=["c:3"]),
    ],
)
def test_what_is_no_cluster_of_workers_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(TrainingError, match=r'^\$TF_CONFIG is .*; expected \{"cluster": \{"worker"'):
        cluster_from(environment)


def met(*workers: dict[str, Any], facts: dict[str, Any] = FACTS) -> list[Any]:
    """What each worker gets out of a meeting, the chief first: settings, or the refusal's words."""
    addresses = _free_addresses(1) + tuple(f"there:{port}" for port in range(1, len(workers) + 1))

    def attend(index: int) -> Any:
        own = {"facts": facts, "settings": SETTINGS} if index == 0 else workers[index - 1]
        try:
            return meet(Cluster(addresses, index), own["facts"], own["settings"], seconds=10)
        except TrainingError as refusal:
            return str(refusal)

    with ThreadPoolExecutor(len(addresses)) as threads:
        return list(threads.map(attend, range(len(addresses))))


def test_all_train_with_the_settings_of_the_chief() -> None:
    same = {"facts": FACTS, "settings": SETTINGS}
    assert met(same, {"facts": FACTS, "settings": None}) == [SETTINGS] * 3


@pytest.mark.parametrize(
    ("worker", "difference"),
    [
        ({"facts": {"training sessions": 8}, "settings": None}, "training sessions 8, the chief 7"),
        ({"facts": {}, "settings": None}, "training sessions None, the chief 7"),
        ({"facts": FACTS, "settings": SETTINGS | {"seed": 4}}, "setting seed 4, the chief 3"),
    ],
)
def test_a_worker_that_differs_is_named_to_all(worker: dict[str, Any], difference: str) -> None:
    words = met(worker)
    assert words[0] == words[1]
    assert words[0].startswith(f"worker 1 (there:1) has {difference}; expected the same on all")


def test_a_worker_that_does_not_come_is_named() -> None:
    cluster = Cluster((*_free_addresses(1), "there:1", "yonder:2"), 0)
    with pytest.raises(TrainingError, match=r"1 \(there:1\), 2 \(yonder:2\) did not join within 0 s"):
        meet(cluster, FACTS, SETTINGS, seconds=0.2)


def test_a_chief_that_does_not_come_is_named() -> None:
    cluster = Cluster((*_free_addresses(1), "there:1"), 1)
    with pytest.raises(TrainingError, match=r"^worker 1 cannot reach the chief at 127\.0\.0\.1:\d+ \("):
        meet(cluster, FACTS, None, seconds=0.3)


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("", 0)) as taken:
        cluster = Cluster((f"127.0.0.1:{taken.getsockname()[1]}", "there:1"), 0)
        with pytest.raises(TrainingError, match=r"the chief cannot listen on 127\.0\.0\.1:"):
            meet(cluster, FACTS, SETTINGS, seconds=0.2)


def test_a_stranger_at_the_port_is_ignored() -> None:
    addresses = (*_free_addresses(1), "there:1")
    host, port = addresses[0].split(":")
    with ThreadPoolExecutor(1) as thread:
        chief = thread.submit(meet, Cluster(addresses, 0), FACTS, SETTINGS, 10)
        for said in (b"GET / HTTP/1.1\n", b"{}\n", b""):
            with _connected(host, int(port)) as stranger:
                stranger.sendall(said)
        assert meet(Cluster(addresses, 1), FACTS, None, seconds=10) == SETTINGS
        assert chief.result() == SETTINGS


def _connected(host: str, port: int) -> socket.socket:
    while True:
        try:
            return socket.create_connection((host, port), timeout=10)
        except ConnectionRefusedError:  # nobody listens yet
            time.sleep(0.01)
