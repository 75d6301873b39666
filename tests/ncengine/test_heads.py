"""Heads: against a slow reference of method §1–3, gradient paths, evaluation from running state, checkpoints."""

import math
import threading

import pytest
import torch

import ncengine as nc
from ncengine.geometry import class_means
from ncengine.geometry.class_means import averaging_weight
from ncengine.geometry.nearest_etf import rotated_frame
from ncengine.geometry.riemannian import geoopt
from ncengine.heads import base, nearest_etf
from ncengine.heads.nearest_etf import NearestETFLogits, StepOptions, _HostStep


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


ETF_HEADS = [nc.NearestETFHead, nc.FixedETFHead, nc.LearnedETFHead]


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("make", ETF_HEADS)
def test_the_bias_centres_features_at_their_running_mean(make, normalise):
    """b = −W μ_G: logits of evaluation are W (h − μ_G), with the mean averaged by α_t = max(2/(t+1), 1e-4)."""
    head = make(16, 5, normalise=normalise, temperature=3.0).double()
    scaled = lambda f: 3 * f / f.norm(dim=1, keepdim=True) if normalise else f
    running = torch.zeros(16, dtype=torch.float64)
    for step in range(1, 4):
        features, labels = batch(seed=step)
        head(features + 1, labels)
        running = running + 2 / (step + 1) * (scaled(features + 1).mean(0) - running)
    assert (int(head.step), head.step.dtype) == (3, torch.int64)
    torch.testing.assert_close(head.global_mean, running)
    features, _ = batch(seed=9)
    expected = (scaled(features) - running) @ head.weight.mT
    torch.testing.assert_close(head.eval()(features), expected.detach(), check_dtype=True)


@pytest.mark.parametrize("make", ETF_HEADS)
def test_the_running_mean_never_stops_following(make):
    """From step 19,999 on α is 1e-4."""
    head = make(16, 5).double()
    head.load_state_dict({**head.state_dict(), "step": torch.tensor(10**6)})
    features, labels = batch()
    head(features, labels)
    mean = (5 * features / features.norm(dim=1, keepdim=True)).mean(0)
    torch.testing.assert_close(head.global_mean, 1e-4 * mean)


def test_an_etf_heads_default_frames_are_those_of_seed_zero():
    for make in (nc.FixedETFHead, nc.LearnedETFHead):
        head = make(9, 5)
        torch.testing.assert_close(head.state_dict()["frame"], rotated_frame(9, 5, "haar", 0), atol=0, rtol=0)
        torch.testing.assert_close(head.weight.detach(), nc.etf_weights(head.frame.detach()), atol=0, rtol=0)
        assert not torch.equal(head.frame, make(9, 5, seed=1).frame)
    haar = nc.NearestETFHead(9, 5, first_frame="haar")
    torch.testing.assert_close(haar.frame, rotated_frame(9, 5, "haar", 0), atol=0, rtol=0)
    torch.testing.assert_close(nc.NearestETFHead(9, 5).frame, torch.eye(9, 4), atol=0, rtol=0)


def test_a_random_frame_is_the_gram_schmidt_basis_of_the_seeds_float64_numbers():
    columns = torch.randn(6, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64).mT
    basis = []
    for column in columns:
        rest = column - sum((torch.dot(column, each) * each for each in basis), torch.zeros(6, dtype=torch.float64))
        basis.append(rest / rest.norm())
    torch.testing.assert_close(rotated_frame(6, 4, "haar", 5), torch.stack(basis).mT.float(), atol=1e-6, rtol=0)


def test_random_frames_are_orthonormal_and_have_no_preferred_sign():
    frames = torch.stack([rotated_frame(6, 3, "haar", seed) for seed in range(400)])
    torch.testing.assert_close(frames.mT @ frames, torch.eye(2).expand(400, 2, 2), atol=1e-5, rtol=0)
    # Entries of a Haar-random frame have mean 0 and variance 1/6; five standard deviations of 400 draws are 0.1.
    torch.testing.assert_close(frames.mean(0), torch.zeros(6, 2), atol=0.1, rtol=0)
    torch.testing.assert_close(frames.square().mean(0), torch.full((6, 2), 1 / 6), atol=0.06, rtol=0)


def test_a_linear_head_without_bias_and_without_scaling():
    head = nc.LinearHead(16, 5, bias=False, normalise=False).double()
    assert head.bias is None
    assert [tuple(parameter.shape) for parameter in head.euclidean_parameters()] == [(5, 16)]
    assert head.manifold_optimiser() is None
    features, labels = batch()
    assert head.penultimate(features) is features
    torch.testing.assert_close(head(features, labels), features @ head.weight.mT)
    with_bias = nc.LinearHead(16, 5)
    assert [tuple(parameter.shape) for parameter in with_bias.euclidean_parameters()] == [(5, 16), (5,)]


@pytest.mark.parametrize(
    ("optimiser", "kind", "momentum"),
    [("riemannian-adam", "RiemannianAdam", None), ("riemannian-sgd", "RiemannianSGD", 0.9)],
)
def test_the_manifolds_optimiser_is_the_one_that_was_chosen(optimiser, kind, momentum):
    head = nc.LearnedETFHead(16, 5, optimiser=optimiser)
    found = head.manifold_optimiser()
    assert type(found) is getattr(geoopt().optim, kind)
    (group,) = found.param_groups
    assert group["params"] == [head.frame]
    assert (group["lr"], group["stabilize"], group.get("momentum")) == (0.01, 10, momentum)
    with pytest.raises(ValueError, match="optimiser must be 'riemannian-adam' or 'riemannian-sgd', got 'adam'"):
        nc.LearnedETFHead(16, 5, optimiser="adam")


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"name": "linear", "bias": False}, nc.LinearHead),
        ({"name": "fixed-etf"}, nc.FixedETFHead),
        ({"name": "learned-etf", "lr": 0.5}, nc.LearnedETFHead),
        ({"name": "nearest-etf", "delta": 0.25, "first_frame": "haar"}, nc.NearestETFHead),
    ],
)
def test_a_config_makes_its_head_with_its_settings_and_the_runs_seed(settings, kind):
    config = nc.RunConfig.model_validate({"head": {"temperature": 2.0, **settings}}).head
    head = config.build(9, 5, 7)
    assert type(head) is kind
    assert (head.features, head.classes, head.temperature) == (9, 5, 2.0)
    if kind is nc.LinearHead:
        assert head.bias is None
    else:
        torch.testing.assert_close(head.frame.detach(), rotated_frame(9, 5, "haar", 7), atol=0, rtol=0)
    if kind is nc.NearestETFHead:
        assert head.delta == 0.25


def test_only_logits_of_a_step_have_a_gradient():
    """The new means and the frame are state; their graph must not be kept."""
    features, labels = batch(features=6, classes=4, size=12)
    shares, present = class_means.batch_shares(labels, 4, torch.float64)
    options = StepOptions(5.0, 0.0, "polar", implicit=True)
    zeros = torch.zeros(4, 6, dtype=torch.float64).mT
    outputs = NearestETFLogits.apply(
        features.requires_grad_(), shares, present, zeros, torch.eye(6, 3).double(), options
    )
    assert [output.requires_grad for output in outputs] == [True, False, False, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((16, 1), "a classifier needs at least 2 classes, got 1"),
        ((0, 2), "features must be at least 1, got 0"),
    ],
)
def test_sizes_that_make_no_classifier_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        nc.LinearHead(*arguments)
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="temperature must be > 0"):
            nc.LinearHead(16, 5, temperature=temperature)
    assert nc.LinearHead(1, 2, temperature=0.5)(torch.ones(3, 1)).shape == (3, 2)


@pytest.mark.parametrize("shape", [(39,), (41,), (40, 1)])
def test_labels_that_do_not_fit_the_features_are_refused(shape):
    for make in ETF_HEADS:
        with pytest.raises(ValueError, match=r"labels must be \(40,\), got"):
            make(16, 5)(torch.randn(40, 16), torch.zeros(shape, dtype=torch.int64))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"first_frame": "random"}, "first_frame must be 'solved', 'canonical' or 'haar', got 'random'"),
        ({"delta": -0.1}, "delta must be >= 0, got -0.1"),
        ({"averaging": "mean"}, "averaging must be"),
        ({"solver": "newton"}, "solver must be"),
    ],
)
def test_settings_of_the_nearest_etf_that_do_not_exist_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        nc.NearestETFHead(16, 5, **setting)
    assert nc.NearestETFHead(16, 5, delta=0.0).delta == 0.0


@pytest.mark.parametrize("rotation", ["canonical", "haar", "other"])
def test_rotations_are_named(rotation):
    if rotation == "other":
        with pytest.raises(ValueError, match="rotation must be 'canonical' or 'haar', got 'other'"):
            rotated_frame(9, 5, rotation, 0)
    else:
        assert rotated_frame(9, 5, rotation, 0).dtype == torch.float32


@pytest.mark.parametrize(("averaging", "half_life"), [("ema-decay", 100.0), ("cma", 100.0), ("ema", 3.0)])
def test_class_means_are_averaged_as_the_setting_says(averaging, half_life):
    head = nc.NearestETFHead(16, 5, averaging=averaging, half_life_steps=half_life).double()
    alpha = {
        "ema-decay": lambda t: max(2 / (t + 1), 1e-4),
        "cma": lambda t: 1 / t,
        "ema": lambda t: 1.0 if t == 1 else 1 - 0.5 ** (1 / half_life),
    }[averaging]
    running = torch.zeros(16, 5, dtype=torch.float64)
    for step in range(1, 5):
        features, labels = batch(seed=step)
        head(features, labels)
        h = 5 * features / features.norm(dim=1, keepdim=True)
        columns = torch.stack([h[labels == c].mean(0) for c in range(5)], dim=1) - h.mean(0)[:, None]
        running = running + alpha(step) * (columns - running)
    torch.testing.assert_close(head.means, running)


def test_a_head_in_bfloat16_computes_its_steps_in_float32():
    head, exact = nc.NearestETFHead(16, 5, delta=0.1).bfloat16(), nc.NearestETFHead(16, 5, delta=0.1)
    for seed in range(3):
        features, labels = batch(seed=seed)
        # Both go on from the same state, which bfloat16 rounds.
        exact.load_state_dict({name: buffer.float() for name, buffer in head.state_dict().items()})
        logits = head(features.bfloat16(), labels)
        expected = exact(features.bfloat16().float(), labels)
        assert logits.dtype == torch.float32
        torch.testing.assert_close(logits, expected)
        assert {buffer.dtype for name, buffer in head.named_buffers() if name != "step"} == {torch.bfloat16}
        # Three significant digits.
        torch.testing.assert_close(head.means.float(), exact.means, atol=0.01, rtol=0.01)
        torch.testing.assert_close(head.global_mean.float(), exact.global_mean, atol=0.01, rtol=0.01)


def test_the_count_of_steps_is_read_from_the_device_after_a_checkpoint_alone():
    count = _HostStep()
    assert count.next(torch.tensor(7)) == 1
    head = nc.NearestETFHead(16, 5).double()
    head(*batch())
    elsewhere = torch.tensor(50)
    assert head._host_step.next(elsewhere) == 2
    head.load_state_dict(head.state_dict())
    assert head._host_step.next(elsewhere) == 51


def test_default_schedules_of_the_nearest_etf():
    head = nc.NearestETFHead(16, 5)
    assert (head.averaging, head.half_life_steps, head.implicit_gradient) == ("ema-decay", 100.0, True)
    assert (head.delta, head.first_delta, head.solver, head.temperature) == (1e-3, 0.0, "auto", 5.0)
    assert nc.NearestETFHead(16, 5, first_frame="canonical").first_delta == 1e-3
    assert averaging_weight(1, "ema") == 1.0
    assert averaging_weight(2, "ema") == averaging_weight(2, "ema", 100.0) == pytest.approx(1 - 0.5**0.01)


class Processes:
    """Two threads as the two processes of a training run: a sum over them waits for both."""

    def __init__(self):
        self._barrier, self._parts = threading.Barrier(2, timeout=20), [None, None]
        self._rank = threading.local()

    def all_reduce_sum(self, tensor):
        self._parts[self._rank.value] = tensor.detach().clone()
        self._barrier.wait()
        total = self._parts[0] + self._parts[1]
        self._barrier.wait()
        return total

    def run(self, function):
        """Return function(rank) of both."""
        found, errors = [None, None], []

        def work(rank):
            self._rank.value = rank
            try:
                found[rank] = function(rank)
            except Exception as error:
                errors.append(error)
                self._barrier.abort()

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return found


@pytest.mark.parametrize("make", ETF_HEADS)
def test_two_processes_with_parts_of_a_batch_are_one_with_all_of_it(make, monkeypatch):
    """State and gradient, with parts of different sizes; test_distributed.py does it with real processes."""
    steps = [batch(seed=seed, missing=(3,) if seed == 1 else ()) for seed in range(3)]
    whole, expected = make(16, 5).double(), []
    for features, labels in steps:
        leaf = features.clone().requires_grad_()
        torch.nn.functional.cross_entropy(whole(leaf, labels), labels, reduction="sum").backward()
        expected.append(leaf.grad)

    processes = Processes()
    for module in (class_means, base, nearest_etf):
        if hasattr(module, "world_size"):
            monkeypatch.setattr(module, "world_size", lambda: 2)
        monkeypatch.setattr(module, "all_reduce_sum", processes.all_reduce_sum)
    heads = [make(16, 5).double() for _ in range(2)]

    def train(rank):
        gradients = []
        for features, labels in steps:
            mine = slice(0, 27) if rank == 0 else slice(27, 40)
            leaf = features[mine].clone().requires_grad_()
            logits = heads[rank](leaf, labels[mine])
            torch.nn.functional.cross_entropy(logits, labels[mine], reduction="sum").backward()
            gradients.append(leaf.grad)
        return gradients

    for parts in zip(expected, *processes.run(train), strict=True):
        torch.testing.assert_close(torch.cat(parts[1:]), parts[0])
    for head in heads:
        for name, buffer in whole.named_buffers():
            torch.testing.assert_close(head.get_buffer(name), buffer)
