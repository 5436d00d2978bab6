"""The workers of one training: who they are, and how they find one another before TensorFlow starts.

Who they are stands in ``TF_CONFIG``, TensorFlow's own convention. TensorFlow's own meeting waits for an hour
and does not say for whom; so workers first meet here, on the same addresses, where the chief (task 0) also
says what is to be trained and hears whether all have the same data.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final

from skip_pipeline.errors import TrainingError
from skip_pipeline.settings import TF_CONFIG_VARIABLE, WORKER_JOIN_SECONDS
from skip_pipeline.training.batches import EVERYTHING, Share

_EXPECTED: Final = (
    'expected {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}} with the '
    "same cluster and another index on each machine"
)
_RETRY_SECONDS: Final = 0.2
_SHORTEST_WAIT: Final = 0.001  # seconds; 0 would mean not to wait at all, which ends in another error
_SPEAK_SECONDS: Final = 2.0  # a worker speaks once it is connected; others must not wait for a silent caller
_LONGEST_MESSAGE: Final = 65_536  # bytes; settings are some hundred


@dataclass(frozen=True)
class Cluster:
    """The workers of one training, as one of them sees it.

    Attributes:
        addresses: ``host:port`` of each worker, by its index; the first is the chief's.
        index: this worker's own.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def chief(self) -> bool:
        """Whether this is the worker whose result is kept."""
        return self.index == 0

    @property
    def share(self) -> Share:
        """This worker's share of every batch."""
        return Share(self.index, len(self.addresses))

    def to_json(self) -> str:
        """As ``TF_CONFIG`` spells it."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": list(self.addresses)}, "task": task})


def share_of(cluster: Cluster | None) -> Share:
    """This worker's share of every batch; everything without a cluster."""
    return EVERYTHING if cluster is None else cluster.share


def cluster_from(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """The cluster that ``TF_CONFIG`` names; None if it is not set, or names a single worker.

    Raises:
        TrainingError: it is set, and is not of the form that TensorFlow prescribes for workers alone.
    """
    text = environment.get(TF_CONFIG_VARIABLE)
    if not text:
        return None
    try:
        content = json.loads(text)
        jobs, task = content["cluster"], content["task"]
        cluster = Cluster(tuple(jobs["worker"]), int(task["index"]))
        sound = (
            list(jobs) == ["worker"]
            and task["type"] == "worker"
            and 0 <= cluster.index < len(cluster.addresses)
            and len(set(cluster.addresses)) == len(cluster.addresses)
            and all(_host_and_port(address)[1] for address in cluster.addresses)
        )
    except (ValueError, KeyError, TypeError) as failure:
        raise TrainingError(f"${TF_CONFIG_VARIABLE} is {text!r}; {_EXPECTED}") from failure
    if not sound:
        raise TrainingError(f"${TF_CONFIG_VARIABLE} is {text!r}; {_EXPECTED}")
    return cluster if len(cluster.addresses) > 1 else None


def named_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that ``TF_CONFIG`` names, where there has to be one.

    Raises:
        TrainingError: as ``cluster_from``; or it names no other worker.
    """
    cluster = cluster_from(environment)
    if cluster is None:
        raise TrainingError(f"${TF_CONFIG_VARIABLE} names no other worker; {_EXPECTED}")
    return cluster


def meet(
    cluster: Cluster,
    facts: Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    seconds: float = WORKER_JOIN_SECONDS,
) -> dict[str, Any]:
    """Wait until every worker is there, and agree on what to train.

    Messages are lines of JSON, unencrypted and without passwords like TensorFlow's own afterwards: workers
    belong in a network of their own.

    Args:
        facts: JSON values that have to be equal on all workers, such as what the data are.
        settings: JSON values. The chief's hold; another worker may have none, or the same.
        seconds: to wait for.

    Returns:
        The chief's settings.

    Raises:
        TrainingError: a worker is missing, or differs from the chief.
    """
    deadline = time.monotonic() + seconds
    if cluster.chief:
        return _gather_workers(cluster, facts, dict(settings or {}), deadline, seconds)
    report = {"index": cluster.index, "facts": facts, "settings": settings}
    return _report_to_chief(cluster, report, deadline, seconds)


def _gather_workers(
    cluster: Cluster, facts: Mapping[str, Any], settings: dict[str, Any], deadline: float, seconds: float
) -> dict[str, Any]:
    host_and_port = cluster.addresses[0]
    missing = dict(enumerate(cluster.addresses))
    del missing[0]
    differences: list[str] = []
    with ExitStack() as open_sockets:
        try:
            # On every interface, as TensorFlow's own server does: the name others use may be no local one.
            listener = socket.create_server(("", _host_and_port(host_and_port)[1]), backlog=len(missing))
        except OSError as failure:
            raise TrainingError(
                f"the chief cannot listen on {host_and_port} ({failure.strerror}), the first address in "
                f"${TF_CONFIG_VARIABLE}; end whatever uses that port, or name another on all machines"
            ) from failure
        open_sockets.enter_context(listener)
        callers: list[socket.socket] = []
        while missing:
            listener.settimeout(max(deadline - time.monotonic(), _SHORTEST_WAIT))
            try:
                caller = open_sockets.enter_context(listener.accept()[0])
            except TimeoutError:
                raise TrainingError(_not_there(missing, seconds)) from None
            caller.settimeout(_SPEAK_SECONDS)
            try:
                said = _read(caller)
            except (OSError, ValueError):
                continue  # somebody else, or a worker that will call again
            if not isinstance(said, dict) or said.get("index") not in missing:
                continue
            address = missing.pop(said["index"])
            differences += _differences(said, address, facts, settings)
            callers.append(caller)
        answer = {"refusal": "; ".join(differences)} if differences else {"settings": settings}
        for caller in callers:
            with suppress(OSError):  # TensorFlow will miss a worker that left in this moment
                caller.sendall(_line(answer))
    if differences:
        raise TrainingError(answer["refusal"])
    return settings


def _report_to_chief(
    cluster: Cluster, report: dict[str, Any], deadline: float, seconds: float
) -> dict[str, Any]:
    address = _host_and_port(cluster.addresses[0])
    reason = "it did not answer"
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection(address, timeout=left) as caller:
                caller.sendall(_line(report))
                answer = _read(caller)
        except (OSError, ValueError) as failure:
            reason = str(failure)
            time.sleep(min(_RETRY_SECONDS, max(left, 0)))
            continue
        if "refusal" in answer:
            raise TrainingError(answer["refusal"])
        return dict(answer["settings"])
    raise TrainingError(
        f"worker {cluster.index} cannot reach the chief at {cluster.addresses[0]} ({reason}), expected it "
        f"there within {seconds:.0f} s; start task 0 there, and see that its port is open"
    )


def _differences(
    said: Mapping[str, Any], address: str, facts: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[str]:
    theirs = dict(said["facts"])
    if said["settings"] is not None:
        theirs |= {f"setting {name}": value for name, value in said["settings"].items()}
        facts = dict(facts) | {f"setting {name}": value for name, value in settings.items()}
    return [
        f"worker {said['index']} ({address}) has {name} {theirs.get(name)!r}, the chief {value!r}; expected "
        "the same on all. Give every worker the same installation, bundles and settings"
        for name, value in facts.items()
        if theirs.get(name) != value
    ]


def _not_there(missing: Mapping[int, str], seconds: float) -> str:
    who = ", ".join(f"{index} ({address})" for index, address in missing.items())
    return (
        f"of the workers in ${TF_CONFIG_VARIABLE}, {who} did not join within {seconds:.0f} s, expected "
        "all of them; start `skip-pipeline train-worker` there, and see that the chief's port can be reached"
    )


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _read(caller: socket.socket) -> Any:
    with caller.makefile("rb") as lines:
        return json.loads(lines.readline(_LONGEST_MESSAGE))
