"""Other people's loops: hooks feed the same meters, in one process and in several."""

import pytest
import torch
from torch import nn

import ncengine as nc


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 12), nn.ReLU(), nn.Linear(12, 4)
    )


def batches(count=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        yield torch.randn(25, 1, 8, 8, generator=generator), torch.randint(4, (25,), generator=generator)


def observed(observer, net, seed=0):
    for images, labels in batches(seed=seed):
        net(images)
        observer.update(labels)
    return observer.compute()


def test_an_observer_measures_what_the_classifier_sees():
    net = network()
    with nc.Observer(net, "5", layers=["1", "0"]) as observer:
        found = observed(observer, net)
    images, labels = (torch.cat(parts) for parts in zip(*batches(), strict=True))
    with torch.no_grad():
        features, hidden = net[:5](images), net[:2](images).mean((2, 3))
    expected = nc.measure(features, labels, net[5].weight.detach(), net[5].bias.detach()).scalars
    assert found.penultimate.scalars == pytest.approx(expected, rel=1e-9)
    assert list(found.layers) == ["0", "1"], "in the order of the forward pass"
    assert found.layers["1"].scalars["nc1"] == pytest.approx(
        nc.measure(hidden, labels, classes=4).scalars["nc1"], rel=1e-6
    )
    assert found.collapse_layer is None, "a network that was not trained separates nothing"


def test_training_goes_on_as_if_nobody_looked():
    losses = []
    for looks in (False, True):
        net = network()
        observer = nc.Observer(net, "5", layers=["1"]) if looks else None
        optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
        for images, labels in batches():
            loss = nn.functional.cross_entropy(net(images), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if observer is not None:
                observer.update(labels)
        losses.append(float(loss.detach()))
    assert losses[0] == losses[1]


def test_a_test_split_is_compared_with_the_training_split():
    net = network()
    training, test = nc.Observer(net, "5"), nc.Observer(net, "5")
    for images, labels in batches():
        net(images)
        training.update(labels)
    for images, labels in batches(seed=1):
        net(images)
        test.update(labels)
    own, both = test.compute().penultimate.scalars, test.compute(training=training).penultimate.scalars
    assert own["nc1"] == both["nc1"]
    assert own["ncc_accuracy"] > both["ncc_accuracy"]


def test_reset_forgets_and_closing_takes_the_hooks_off():
    net = network()
    observer = nc.Observer(net, "5", layers=["1"])
    first = observed(observer, net).penultimate.scalars
    observer.reset()
    assert "no-samples" in observer.compute().penultimate.flags
    assert observed(observer, net).penultimate.scalars == first
    observer.close()
    net(next(batches())[0])
    with pytest.raises(ValueError, match="needs a forward pass"):
        observer.update(torch.zeros(25, dtype=torch.int64))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_tokens_are_samples():
    net = nn.Sequential(nn.Embedding(11, 6), nn.Linear(6, 11))
    tokens = torch.arange(11).repeat(3, 1)
    observer = nc.Observer(net, "1")
    net(tokens)
    observer.update(tokens)
    found = observer.compute().penultimate
    assert found.of == 33
    assert found.scalars["nc1_ratio"] == pytest.approx(0, abs=1e-12)
    net(tokens)
    with pytest.raises(ValueError, match=r"labels must be \(3, 11\) as the features, got \(33,\)"):
        observer.update(tokens.flatten())


@pytest.mark.parametrize(
    ("classifier", "layers", "message"),
    [
        ("head", (), "must be modules of the network, 'head' is none; it has 0, 1, 2"),
        ("4", (), "must be an nn.Linear, '4' is ReLU"),
        ("5", ("9",), "'9' is none"),
    ],
)
def test_what_is_not_there_is_refused(classifier, layers, message):
    with pytest.raises(ValueError, match=message):
        nc.Observer(network(), classifier, layers=layers)
