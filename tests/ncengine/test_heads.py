"""Heads: against a slow reference of method §1–3, gradient paths, evaluation from running state, checkpoints."""

import math

import pytest
import torch

import ncengine as nc
from ncengine.geometry.class_means import averaging_weight


def batch(features=16, classes=5, size=40, seed=0, missing=()):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (size,), generator=generator)
    for label in missing:
        labels[labels == label] = (label + 1) % classes
    return torch.randn(size, features, generator=generator, dtype=torch.float64), labels


def reference_logits(batches, classes, tau=5.0, delta=1e-3):
    """Method §1–3 with loops, in float64: logits of the last batch."""
    running, previous, seen = None, None, set()
    for t, (raw, labels) in enumerate(batches, start=1):
        h = tau * raw / raw.norm(dim=1, keepdim=True)
        mu = h.mean(0)
        alpha = max(2 / (t + 1), 1e-4)
        columns = []
        for c in range(classes):
            rows = h[labels == c]
            old = torch.zeros(h.shape[1], dtype=h.dtype) if running is None else running[:, c]
            if len(rows) == 0:
                columns.append(old)
            elif c not in seen:
                columns.append(rows.mean(0) - mu)
                seen.add(c)
            else:
                columns.append(alpha * (rows.mean(0) - mu) + (1 - alpha) * old)
        running = torch.stack(columns, dim=1)
        basis = nc.simplex_basis(classes, dtype=h.dtype)
        a = 2 / math.sqrt(classes - 1) * running / running.norm() @ basis
        if previous is not None:
            a = a + delta * previous
        left, _, right = torch.linalg.svd(a, full_matrices=False)
        previous = left @ right
        weight = math.sqrt(classes / (classes - 1)) * basis @ previous.T
        logits = h @ weight.T - weight @ mu
    return logits


@pytest.mark.parametrize("missing", [(), (2,)])
def test_nearest_head_agrees_with_the_method_step_by_step(missing):
    head = nc.NearestETFHead(16, 5).double()
    batches = [batch(seed=s, missing=missing if s == 1 else ()) for s in range(4)]
    for features, labels in batches:
        logits = head(features, labels)
    torch.testing.assert_close(logits, reference_logits(batches, 5), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("implicit", [True, False])
def test_gradient_of_the_whole_head(implicit, normalise):
    """gradcheck differentiates the map from features to logits, both paths; without the second it must not hold."""
    features, labels = batch(features=6, classes=4, size=12)

    def logits(raw):
        head = nc.NearestETFHead(6, 4, implicit_gradient=implicit, normalise=normalise).double()
        head(*batch(features=6, classes=4, size=12, seed=3))  # so that the proximal term takes part
        return head(raw, labels)

    holds = torch.autograd.gradcheck(logits, (features.requires_grad_(),), atol=1e-6, raise_exception=False)
    assert holds == implicit


def test_the_step_is_the_composition_of_its_parts():
    """The one operator of a training step, and autograd through the public functions that it stands for."""
    (raw, labels), (other, other_labels) = batch(seed=1), batch(seed=2)
    head = nc.NearestETFHead(16, 5, delta=0.1).double()
    head(other, other_labels)
    before = {name: buffer.clone() for name, buffer in head.named_buffers()}
    first, second = raw.clone().requires_grad_(), raw.clone().requires_grad_()
    upstream = torch.randn(40, 5, dtype=torch.float64)
    (head(first, labels) * upstream).sum().backward()

    h = 5 * second / second.norm(dim=1, keepdim=True)
    mu = h.mean(0)
    columns = torch.stack([h[labels == c].mean(0) - mu for c in range(5)], dim=1)
    alpha = averaging_weight(2, "ema-decay")
    means = alpha * columns + (1 - alpha) * before["means"]
    weight = nc.etf_weights(nc.nearest_etf(means, before["frame"], delta=0.1))
    ((h @ weight.T - weight @ mu) * upstream).sum().backward()
    torch.testing.assert_close(first.grad, second.grad)
    torch.testing.assert_close(head.means, means.detach())


def test_a_class_absent_from_the_batch_keeps_its_mean_and_an_unseen_one_is_zero():
    head = nc.NearestETFHead(16, 5).double()
    head(*batch(missing=(3,)))
    assert head.means[:, 3].abs().max() == 0
    head(*batch(seed=1))
    kept = head.means[:, 3].clone()
    assert kept.abs().max() > 0
    head(*batch(seed=2, missing=(3,)))
    torch.testing.assert_close(head.means[:, 3], kept)


def test_a_refused_batch_is_no_step():
    first, second = nc.NearestETFHead(16, 5).double(), nc.NearestETFHead(16, 5).double()
    features, labels = batch(seed=0)
    with pytest.raises(ValueError, match="to match the head"):
        second(features[:, :3], labels)
    with pytest.raises(RuntimeError, match="out of bounds"):
        second(features, labels + 6)
    for seed in range(3):
        torch.testing.assert_close(second(*batch(seed=seed)), first(*batch(seed=seed)), atol=0, rtol=0)


@pytest.mark.parametrize("make", [nc.NearestETFHead, nc.FixedETFHead, nc.LearnedETFHead, nc.LinearHead])
def test_evaluation_uses_weight_and_bias_and_never_the_batch(make):
    head = make(16, 5).double()
    for seed in range(3):
        head(*batch(seed=seed))
    head.eval()
    features, _ = batch(seed=9)
    h = 5 * features / features.norm(dim=1, keepdim=True)
    whole = head(features)
    torch.testing.assert_close(whole, h @ head.weight.T + head.bias)
    torch.testing.assert_close(torch.cat([head(features[:7]), head(features[7:])]), whole)


@pytest.mark.parametrize("make", [nc.NearestETFHead, nc.FixedETFHead, nc.LearnedETFHead, nc.LinearHead])
def test_a_checkpoint_continues_bit_for_bit(make):
    torch.manual_seed(0)
    first = make(16, 5)
    data = [(features.float(), labels) for features, labels in (batch(seed=s) for s in range(6))]
    for features, labels in data[:3]:
        first(features, labels)
    second = make(16, 5)
    second.load_state_dict(first.state_dict())
    for features, labels in data[3:]:
        torch.testing.assert_close(second(features, labels), first(features, labels), atol=0, rtol=0)


def test_etf_heads_need_room_and_labels_in_training():
    for make in (nc.NearestETFHead, nc.FixedETFHead, nc.LearnedETFHead):
        assert make(3, 4).weight.shape == (4, 3)
        with pytest.raises(ValueError, match=r"backbone\.features=4"):
            make(3, 5)
        with pytest.raises(ValueError, match="needs labels"):
            make(16, 5)(torch.randn(4, 16))
        with pytest.raises(ValueError, match=r"backbone\.features=8"):
            make(16, 5)(torch.randn(4, 8), torch.zeros(4, dtype=torch.int64))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("make", [nc.NearestETFHead, nc.FixedETFHead, nc.LearnedETFHead])
def test_features_of_another_precision_are_taken(make, dtype):
    plain, other = make(16, 5), make(16, 5)
    features, labels = batch()
    features = features.to(torch.bfloat16).float()  # the same numbers in every precision
    for _ in range(2):
        expected = plain(features, labels)
        leaf = features.to(dtype).requires_grad_()
        found = other(leaf, labels)
        found.float().sum().backward()
        assert torch.isfinite(leaf.grad).all()
        torch.testing.assert_close(found.float(), expected, atol=0.1 if dtype == torch.bfloat16 else 1e-5, rtol=0.02)
    assert other.weight.dtype == torch.float32
    other.eval()
    assert other(features.to(dtype)).shape == (40, 5)


def test_canonical_fixed_etf_and_bfloat16_autocast():
    head = nc.FixedETFHead(9, 5, rotation="canonical")
    torch.testing.assert_close(head.weight, nc.etf_weights(torch.eye(9, 4)))
    nearest = nc.NearestETFHead(16, 5)
    features, labels = batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = nearest(features.float().requires_grad_(), labels)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(nearest.weight @ nearest.weight.T, (torch.eye(5) - 0.2) * 1.25)


def test_averaging_schedules():
    assert [averaging_weight(t, "ema-decay") for t in (1, 3, 10**6)] == [1.0, 0.5, 1e-4]
    assert averaging_weight(4, "cma") == 0.25
    assert (1 - averaging_weight(5, "ema", 10.0)) ** 10 == pytest.approx(0.5)
    with pytest.raises(ValueError, match="averaging must be"):
        averaging_weight(1, "mean")


@pytest.mark.parametrize("make", [nc.NearestETFHead, nc.FixedETFHead, nc.LearnedETFHead, nc.LinearHead])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_head_works_under_autocast(make, dtype):
    """Features as a network under autocast makes them; the classifier's own state and gradient stay in float32."""
    torch.manual_seed(0)
    head = make(16, 5)
    features, labels = batch()
    leaf = features.float().requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        logits = head(torch.nn.functional.linear(leaf, torch.eye(16)), labels)
    torch.nn.functional.cross_entropy(logits.float(), labels).backward()
    assert torch.isfinite(leaf.grad).all()
    assert leaf.grad.abs().max() > 0
    assert head.weight.dtype == torch.float32
    if make is not nc.LinearHead:
        torch.testing.assert_close(head.weight @ head.weight.T, (torch.eye(5) - 0.2) * 1.25)


@pytest.mark.parametrize("optimiser", ["riemannian-adam", "riemannian-sgd"])
def test_the_learned_etf_turns_and_stays_an_etf(optimiser):
    head = nc.LearnedETFHead(16, 5, optimiser=optimiser, lr=0.02)
    assert head.euclidean_parameters() == []
    manifold = head.manifold_optimiser()
    features, labels = batch(size=200)
    features = features.float() + 3 * torch.nn.functional.one_hot(labels, 16).float()
    first, losses = head.weight.detach().clone(), []
    for _ in range(60):
        manifold.zero_grad()
        loss = torch.nn.functional.cross_entropy(head(features, labels), labels)
        loss.backward()
        manifold.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    assert (head.weight - first).norm() > 0.1
    # float32, put back onto the manifold every tenth step
    torch.testing.assert_close(head.weight @ head.weight.T, (torch.eye(5) - 0.2) * 1.25, atol=1e-4, rtol=0)


def test_gradcheck_of_the_learned_etf():
    """With respect to the frame, through the classifier's rows and its offset."""
    head = nc.LearnedETFHead(6, 4).double().eval()
    features, _ = batch(features=6, classes=4, size=8)

    def logits(frame):
        return torch.func.functional_call(head, {"frame": frame}, (features,))

    assert torch.autograd.gradcheck(logits, (head.frame.detach().clone().requires_grad_(),))


def test_unit_rows_of_the_linear_head():
    head = nc.LinearHead(16, 5, renormalise=True)
    torch.testing.assert_close(head.weight.norm(dim=1), torch.ones(5))
    with torch.no_grad():
        head.layer.weight.mul_(torch.arange(1.0, 6.0)[:, None])
    before = torch.nn.functional.normalize(head.weight.detach(), dim=1)
    head.after_step()
    torch.testing.assert_close(head.weight.detach(), before)
    plain = nc.LinearHead(16, 5)
    held = plain.weight.detach().clone()
    plain.after_step()
    assert torch.equal(plain.weight, held)


@pytest.mark.parametrize("first_frame", ["canonical", "haar"])
def test_the_first_step_may_be_held_to_a_frame(first_frame):
    """A large δ leaves the first solution at the frame it is held to; without, the first step has no proximal term."""
    held = nc.NearestETFHead(16, 5, delta=1e6, first_frame=first_frame, seed=3).double()
    start = held.frame.clone()
    free = nc.NearestETFHead(16, 5, delta=1e6).double()
    features, labels = batch()
    held(features, labels)
    free(features, labels)
    torch.testing.assert_close(held.frame, start, atol=1e-4, rtol=0)
    assert (free.frame - start).norm() > 0.5
    if first_frame == "haar":
        assert not torch.equal(start, nc.NearestETFHead(16, 5, first_frame="haar", seed=4).double().frame)


@pytest.mark.parametrize("solver", ["polar", "matmul", "riemannian"])
def test_a_head_may_choose_its_solver(solver):
    heads = nc.NearestETFHead(16, 5, delta=0.1).double(), nc.NearestETFHead(16, 5, delta=0.1, solver=solver).double()
    for seed in range(3):
        features, labels = batch(seed=seed)
        gradients = []
        for head in heads:
            leaf = features.clone().requires_grad_()
            torch.nn.functional.cross_entropy(head(leaf, labels), labels).backward()
            gradients.append(leaf.grad)
        torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)
