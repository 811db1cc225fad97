"""The bench's network namespaces go away with their run, however it ends."""

import subprocess

import pytest

from bench import netns

pytestmark = pytest.mark.skipif(
    netns.missing() is not None, reason="network namespaces need root and iproute2"
)


def namespaces() -> set[str]:
    """Those of this process's benches."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    return {line.split()[0] for line in listed.splitlines() if line.split()[0] in netns.names()}


def offload(network: netns.Network) -> str:
    command = [*network.server_prefix, "ethtool", "-k", "veth"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return next(line.split()[1] for line in found.splitlines() if "tx-udp-segmentation" in line)


@pytest.mark.parametrize("segmentation", [True, False])
def test_a_run_has_two_namespaces_and_leaves_none(segmentation: bool):
    with netns.network(segmentation=segmentation) as network:
        assert namespaces() == set(netns.names())
        assert offload(network) == ("on" if segmentation else "off")
        subprocess.run([*network.load_prefix, "ip", "route", "get", netns.SERVER_ADDRESS], check=True)
    assert namespaces() == set()


def test_a_run_that_fails_leaves_none():
    with pytest.raises(KeyError), netns.network(segmentation=True):
        raise KeyError
    assert namespaces() == set()


def test_a_network_that_cannot_be_made_leaves_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(netns, "LOAD_ADDRESS", "no address")
    with pytest.raises(subprocess.CalledProcessError), netns.network(segmentation=True):
        raise AssertionError
    assert namespaces() == set()
