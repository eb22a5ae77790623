"""Two processes compute what one does: the same loss, the same gradient, the same trained weights."""

import multiprocessing
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, parse_args

from sbert_prune.losses import build_loss
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.sentence import load_saved
from sbert_prune.recipe.settings import NliSettings, StsSettings
from sbert_prune.training.batches import plan_batches, tokenize_rows
from sbert_prune.training.device import Hardware
from sbert_prune.training.distributed import WorkerGroup, join_group, leave_group
from sbert_prune.training.gradients import Gradient
from sbert_prune.training.loop import run_worker, train
from sbert_prune.training.objective import Objective
from sbert_prune.training.setup import PhaseSetup, TrainerSetup
from tests.commands import PRELOADED

CPU = Hardware(torch.device("cpu"), bfloat16=False)
NLI = NliSettings(epochs=1.5, batch_size=5, learning_rate=1e-3, accumulate=2)
STS = StsSettings(epochs=1, batch_size=4, learning_rate=1e-3)
TAILS = (
    "",
    "and the dog",
    "in the street and not on the river",
    "quickly and the child sings a song in the street on the river",
)

BATCHES = {
    "mnrl": {"rows": range(8)},
    "mnrl, odd": {"rows": [3, 0, 6, 1, 9]},
    "mnrl, one row": {"rows": [4]},
    "mnrl, two sentences at a time": {"rows": range(7), "limit": 2},
    "mnrl, with an earlier exit": {"rows": range(7), "objective": {"adaptive": True, "seed": 3}},
    "cosine": {"columns": 2, "rows": range(8)},
    "cosine, odd": {"columns": 2, "rows": [2, 5, 7]},
    "cosine, one row": {"columns": 2, "rows": [4]},
    "softmax": {"columns": 2, "rows": range(5)},
    "distillation, fewer sentences than processes": {"columns": 1, "rows": [6], "objective": {"distillation": 1.0}},
    "distillation, fewer sentences than processes, one at a time": {
        "columns": 1,
        "rows": [6],
        "limit": 1,
        "objective": {"distillation": 1.0},
    },
    "distillation of every layer": {
        "columns": 1,
        "rows": range(5),
        "objective": {"distillation": 1.0, "layer_weight": 0.5},
    },
    "distillation, projected": {"columns": 1, "rows": range(5), "objective": {"distillation": 1.0}, "dim": 9},
}


def load(folder):
    """Load the sentence model in a folder, without dropout."""
    model = load_saved(inspect_checkpoint(Path(folder)))
    model.max_seq_length = 32
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def rows_of_three():
    sentences = [
        f"{one} {two}"
        for one in ("a man", "the woman", "a child", "the dog", "the cat")
        for two in ("sings", "sleeps", "eats bread")
    ]
    spread = [f"{sentence} {TAILS[place % 4]}".strip() for place, sentence in enumerate(sentences)]
    return [(spread[row], spread[row - 5], spread[row - 8]) for row in range(10)]


def loss_of(name, model):
    torch.manual_seed(0)
    if name.startswith("distillation"):
        return None
    return (
        build_loss("sts", model, STS, CPU.device)
        if name.startswith("cosine")
        else build_loss("nli", model, NLI.model_copy(update={"loss": name.partition(",")[0]}), CPU.device)
    )


def gradient_of(name, model, group):
    """Return loss and gradient of one batch, by all processes of a group together."""
    case = {"columns": 3, "limit": None, "objective": {}, "dim": 16} | BATCHES[name]
    labels = {"cosine": torch.linspace(0, 1, 10), "softmax": torch.arange(10) % 3}.get(name.partition(",")[0])
    examples = tokenize_rows(model, [row[: case["columns"]] for row in rows_of_three()], labels)
    if "distillation" in case["objective"]:
        exits = 2 if "layer_weight" in case["objective"] else 1
        targets = np.random.default_rng(0).normal(size=(exits, len(examples.texts), case["dim"])).astype(np.float16)
        examples = type(examples)(**vars(examples) | {"targets": targets})
    torch.manual_seed(1)
    projection = None if case["dim"] == 16 else torch.nn.Linear(16, case["dim"], bias=False)
    objective = Objective(loss_of(name, model), 2, projection=projection, **case["objective"])
    model.zero_grad()
    loss = Gradient(model.train(), examples, objective, CPU, case["limit"], group).add(np.array(case["rows"]), 4)
    group.sum_gradients(model.parameters())
    learning = {
        **dict(model.named_parameters()),
        **{f"loss.{place}": parameter for place, parameter in enumerate(objective.parameters())},
    }
    zeros = {key: torch.zeros_like(parameter) for key, parameter in learning.items()}
    return float(loss), {
        key: zeros[key] if parameter.grad is None else parameter.grad.clone() for key, parameter in learning.items()
    }


def phase_of(kind, model):
    columns, labels = (3, None) if kind == "nli" else (2, torch.linspace(0, 1, 10))
    settings = NLI if kind == "nli" else STS
    examples = tokenize_rows(model, [row[:columns] for row in rows_of_three()], labels)
    batches = plan_batches(examples, settings.batch_size, epochs=settings.epochs, seed=3, unique=False)
    loss = build_loss("nli", model, NLI, CPU.device) if kind == "nli" else build_loss("sts", model, STS, CPU.device)
    return PhaseSetup(examples, batches, Objective(loss, 2)), settings


def train_two_phases(model):
    """Return the reported losses."""
    losses = []
    setup = TrainerSetup(CPU, 3, report=lambda progress: losses.append(progress.loss), notice=lambda _: None)
    for kind in ("nli", "sts"):
        phase, settings = phase_of(kind, model)
        train(model, phase, settings, setup)
    return losses


def launch(base, out, port, other_port):
    """Start two processes as torchrun does, with its configuration, but forked: they need not import the libraries."""
    os.environ |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    log = os.open(out / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    options = ["--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", port, "--start-method", "fork"]
    config, _, _ = config_from_args(parse_args([*options, "no script"]))
    elastic_launch(config, work)(base, out, other_port)


def work(base, out, other_port):
    """Write what one of the processes computes."""
    group = join_group()
    untrained = load(base)
    found = {name: gradient_of(name, untrained, group) for name in BATCHES}
    received = group.broadcast({"numbers": torch.arange(3), "rank": group.rank})
    nothing = group.broadcast(None if group.is_main else "something")
    parts = {
        count: group.gather(torch.arange(count * 2.0).view(count, 2)[group.share(count)], count) for count in range(6)
    }
    torch.save({"gradients": found, "received": received, "nothing": nothing, "parts": parts}, out / f"{group.rank}.pt")
    if group.is_main:
        model = load(base)
        losses = train_two_phases(model)
        torch.save({"losses": losses, "weights": model.state_dict()}, out / "trained.pt")
        leave_group()
    else:
        run_worker()
    (out / f"{group.rank}.left").touch()

    # Another group, as if another torchrun had started it, and nothing to train.
    os.environ |= {"MASTER_PORT": other_port, "TORCHELASTIC_USE_AGENT_STORE": "False"}
    leave_group() if group.is_main else run_worker()
    (out / f"{group.rank}.left again").touch()


@pytest.fixture(scope="module")
def base(tmp_path_factory, tiny_encoder, tiny_tokenizer):
    folder = tmp_path_factory.mktemp("group") / "base"
    tiny_encoder("bert", depth=2).save_pretrained(folder)
    tiny_tokenizer(0).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def untrained(base):
    return load(base)


@pytest.fixture(scope="module")
def together(base):
    """The folder with the results of two processes, started as torchrun starts them."""
    out, ports = base.parent, free_ports()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=launch, args=(base, out, *ports))
    process.start()
    process.join(400)
    if process.is_alive():
        process.terminate()  # it ends its processes too
        process.join()
    assert process.exitcode == 0, (out / "log").read_text()
    return out


def free_ports():
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1]), str(other.getsockname()[1])


@pytest.fixture(scope="module")
def both(together):
    """The results of each process."""
    return [torch.load(together / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("name", BATCHES)
def test_loss_and_gradient_are_those_of_one_process_alone(untrained, both, name):
    loss, gradient = gradient_of(name, untrained, WorkerGroup())

    found = [one["gradients"][name] for one in both]

    assert any(bool(expected.abs().max() > 1e-3) for expected in gradient.values())
    for their_loss, theirs in found:
        assert their_loss == pytest.approx(loss, rel=1e-5, abs=1e-6)
        assert theirs.keys() == gradient.keys()
        for key, expected in gradient.items():
            torch.testing.assert_close(
                theirs[key], expected, rtol=1e-3, atol=2e-6, msg=lambda text, key=key: f"{key}: {text}"
            )


@pytest.mark.parametrize("name", BATCHES)
def test_every_process_has_the_same_gradient_to_the_last_bit(both, name):
    (one_loss, one), (other_loss, other) = (found["gradients"][name] for found in both)

    assert one_loss == other_loss
    assert all(torch.equal(gradient, other[key]) for key, gradient in one.items())


@pytest.mark.parametrize("count", range(6))
def test_shares_are_put_together_in_their_order_everywhere(both, count):
    for found in both:
        assert torch.equal(found["parts"][count], torch.arange(count * 2.0).view(count, 2))


def test_a_value_of_the_main_process_is_broadcast_to_all(both):
    for found in both:
        assert found["received"]["rank"] == 0
        assert found["received"]["numbers"].tolist() == [0, 1, 2]
        assert found["nothing"] is None


def test_two_phases_give_the_weights_and_losses_of_one_process_alone(base, together):
    model = load(base)

    losses = train_two_phases(model)

    found, before = torch.load(together / "trained.pt"), load(base).state_dict()
    assert found["losses"] == pytest.approx(losses, rel=1e-4)
    # A key's bias moves no attention, so its gradient is nothing but rounding, which AdamW blows up.
    learnt = {key: weight for key, weight in model.state_dict().items() if not key.endswith("key.bias")}
    for key, expected in learnt.items():
        torch.testing.assert_close(
            found["weights"][key], expected, rtol=0, atol=2e-5, msg=lambda text, key=key: f"{key}: {text}"
        )
    assert any(not torch.allclose(expected, before[key], rtol=0, atol=1e-3) for key, expected in learnt.items())


@pytest.mark.parametrize("mark", ["left", "left again"], ids=["after two phases", "where nothing was trained"])
def test_workers_end_when_the_main_process_leaves(together, mark):
    assert [(together / f"{rank}.{mark}").exists() for rank in (0, 1)] == [True, True]


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 50])
def test_every_sentence_is_in_one_share_and_shares_differ_by_at_most_one(count, size):
    shares = [list(range(count))[WorkerGroup(rank, size).share(count)] for rank in range(size)]

    assert sorted(place for share in shares for place in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_is_a_group_that_sends_nothing(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    group, value, parameter = join_group(), object(), torch.nn.Parameter(torch.zeros(2))

    gathered = group.gather(torch.arange(3), 3)
    group.sum_gradients([parameter])
    leave_group()

    assert group == WorkerGroup(0, 1)
    assert group.is_main
    assert group.broadcast(value) is value
    assert gathered.tolist() == [0, 1, 2]
    assert parameter.grad is None
