"""Training on two processes with gloo on the CPU, with a monitor or without: what each process saw, as JSON."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tiny import byte_tokenizer, tiny_model

MODES = ("ddp", "fsdp", "tp")
PATIENCE = 240.0
"""Seconds that processes have for all that they do."""
SMALL: dict[str, Any] = {"tokens": 3000, "context": 64, "m": 16, "loss": True}
"""Settings of monitors here."""


def started(worker: Any, folder: Path, *arguments: Any, processes: int = 2) -> list[dict[str, Any]]:
    """What a worker says on each process; a process that fails says its error."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    every = [
        context.Process(target=_one, args=(rank, worker, folder, processes, *arguments)) for rank in range(processes)
    ]
    for process in every:
        process.start()
    for process in every:
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
    found = []
    for rank in range(processes):
        path = folder / f"said-{rank}.json"
        found.append(json.loads(path.read_text("utf-8")) if path.exists() else {"died": True})
    return found


def _one(rank: int, worker: Any, folder: Path, processes: int, *arguments: Any) -> None:
    torch.set_num_threads(1)
    os.environ |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    said: dict[str, Any] = {}
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=processes)
    try:
        said = worker(rank, folder, *arguments) or {}
    except Exception as error:
        said = {"error": f"{type(error).__name__}: {error}"}
    (folder / f"said-{rank}.json").write_text(json.dumps(said), "utf-8")
    if "error" not in said:
        dist.barrier()
    dist.destroy_process_group()


def spread(model: Any, mode: str) -> Any:
    """A model as a mode of training spreads it over all processes."""
    mesh = dist.init_device_mesh("cpu", (dist.get_world_size(),))
    if mode == "ddp":
        return torch.nn.parallel.DistributedDataParallel(model)
    if mode == "fsdp":
        from torch.distributed.fsdp import fully_shard

        for block in model.model.layers:
            fully_shard(block, mesh=mesh)
        return fully_shard(model, mesh=mesh)
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    plan: dict[str, Any] = {}
    for i in range(len(model.model.layers)):
        for part in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"):
            plan[f"model.layers.{i}.{part}"] = ColwiseParallel()
        for part in ("self_attn.o_proj", "mlp.down_proj"):
            plan[f"model.layers.{i}.{part}"] = RowwiseParallel()
    return parallelize_module(model, mesh, plan)


def batch(step: int, rank: int, mode: str) -> torch.Tensor:
    """Token ids of a step: of tensor parallelism the same for all, else of each process its own."""
    made = torch.Generator().manual_seed(1000 * step + (0 if mode in ("tp", "alone") else rank))
    return torch.randint(2, 250, (4, 32), generator=made)


def train(
    rank: int, folder: Path, mode: str, watched: bool, steps: int = 4, keep: bool = False, **more: Any
) -> dict[str, Any]:
    """Losses of a few steps, what the probes said, and with `keep` the probe of one process on the last weights."""
    import infoplane

    torch.manual_seed(0)
    model = tiny_model()
    model.train()
    model = model if mode == "alone" else spread(model, mode)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    monitor, probes = None, []
    if watched:
        monitor = infoplane.Monitor(model, byte_tokenizer(), together=mode == "ddp", **{**SMALL, **more})
        probes.append(monitor.probe(0))
    losses = []
    for step in range(1, steps + 1):
        ids = batch(step, rank, mode)
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()).hex())
        if monitor is not None and step % 2 == 0:
            probes.append(monitor.probe(step))
    if monitor is not None:
        monitor.save(folder / "probes")  # the first writes
    return {"losses": losses, "probes": probes, "whole": probe_of_whole(model) if keep else {}}


def each_mode(rank: int, folder: Path) -> dict[str, Any]:
    """Each mode with a monitor and without; and the last probe beside that of one process on the same weights."""
    return {mode: _with_and_without(rank, folder / mode, mode) for mode in MODES}


def _with_and_without(rank: int, folder: Path, mode: str) -> dict[str, Any]:
    without = train(rank, folder, mode, False)["losses"]
    found = train(rank, folder, mode, True, keep=True)
    return {"without": without, "with": found["losses"], "last": found["probes"][-1], "whole": found["whole"]}


def probe_of_whole(model: Any) -> dict[str, float]:
    """The probe of one process on the weights of all; nothing but on the first."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    import infoplane

    inner = model.module if hasattr(model, "module") else model
    state = get_model_state_dict(inner, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if dist.get_rank() != 0:
        return {}
    alone = tiny_model()
    alone.load_state_dict(state)
    return infoplane.Monitor(alone, byte_tokenizer(), **SMALL).probe(0)


def options(rank: int, folder: Path) -> dict[str, Any]:
    """Mixed precision, gradient checkpointing, compiled blocks and accumulated gradients, all at once."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    import infoplane

    def once(watched: bool) -> tuple[list[str], list[dict[str, float]]]:
        torch.manual_seed(0)
        torch.compiler.reset()
        model = tiny_model()
        model.train()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        mesh, policy = dist.init_device_mesh("cpu", (2,)), MixedPrecisionPolicy(torch.bfloat16, torch.float32)
        for block in model.model.layers:
            block.mlp.compile(backend="aot_eager")
            fully_shard(block, mesh=mesh, mp_policy=policy)
        fully_shard(model, mesh=mesh, mp_policy=policy)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        monitor = infoplane.Monitor(model, byte_tokenizer(), **SMALL) if watched else None
        losses, probes = [], []
        for step in range(1, 5):
            model.set_requires_gradient_sync(step % 2 == 0)
            ids = batch(step, rank, "fsdp")
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            losses.append(float(loss.detach()).hex())
            if monitor is not None:  # between the gradients of one update too
                probes.append(monitor.probe(step))
            if step % 2 == 0:
                optimizer.step()
                optimizer.zero_grad()
        return losses, probes

    losses, probes = once(True)
    return {"with": losses, "without": once(False)[0], "probes": probes, "training": True}


def refusals(rank: int, folder: Path) -> dict[str, Any]:
    """What every process says where one of them has other text, another step, a wrong text, or states that are NaN."""
    import infoplane

    said: dict[str, Any] = {}

    def note(name: str, function: Any) -> Any:
        try:
            return function()
        except infoplane.InfoplaneError as error:
            said[name] = f"{type(error).__name__}: {error}"
        return None

    texts = [" ".join(f"word{i % 7}" for i in range(40 * k)) for k in range(1, 60)]
    own = texts if rank == 0 else texts[:-1]
    model, tokenizer, few = spread(tiny_model(), "fsdp"), byte_tokenizer(), {"context": 64, "m": 16}
    note("other text", lambda: infoplane.Monitor(model, tokenizer, own, tokens=3000, **few))
    note("other setting", lambda: infoplane.Monitor(model, tokenizer, texts, tokens=3000 + rank, **few))
    wrong = texts if rank == 0 else folder / "none.txt"
    note("no text", lambda: infoplane.Monitor(model, tokenizer, wrong, tokens=3000, **few))
    note("few windows", lambda: infoplane.Monitor(model, tokenizer, texts[:1], tokens=40, **few).probe(1))
    note("meta", lambda: infoplane.Monitor(tiny_model().to("meta"), tokenizer, texts, **few))
    monitor = infoplane.Monitor(model, tokenizer, texts, tokens=3000, **few)
    note("other step", lambda: monitor.probe(1 + rank))
    copied = spread(tiny_model(), "ddp")
    monitor = infoplane.Monitor(copied, tokenizer, texts, tokens=3000, together=True, **few)
    if rank == 1:
        with torch.no_grad():
            copied.module.model.layers[1].mlp.down_proj.weight.fill_(float("nan"))
    note("nan", lambda: monitor.probe(1))
    return said


def missing(rank: int, folder: Path) -> dict[str, Any]:
    """A monitor that only the first process makes."""
    import time

    import infoplane

    model = spread(tiny_model(), "fsdp")
    since = time.monotonic()
    if rank == 0:
        try:
            infoplane.Monitor(model, byte_tokenizer(), wait=3.0, **SMALL)
        except infoplane.InfoplaneError as error:
            return {"said": str(error), "after": time.monotonic() - since}
    time.sleep(8)
    return {}


def dying(rank: int, folder: Path) -> dict[str, Any]:
    """A process that is killed between two probes."""
    import signal
    import time

    import infoplane

    monitor = infoplane.Monitor(spread(tiny_model(), "fsdp"), byte_tokenizer(), wait=20.0, **SMALL)
    monitor.probe(0)
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    since = time.monotonic()
    try:
        monitor.probe(1)
    except infoplane.InfoplaneError as error:
        return {"said": str(error), "after": time.monotonic() - since, "error": "the other one died"}
    return {}


def of_transformers(rank: int, folder: Path, base: str) -> dict[str, Any]:
    """A model that transformers itself spreads as it loads it (`tp_plan="auto"`), beside the whole model."""
    import transformers as t

    import infoplane
    from infoplane.models.sharding import sharding_of

    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    model = t.AutoModelForCausalLM.from_pretrained(base, tp_plan="auto", dtype=torch.float32)
    sharding = sharding_of(model)
    monitor = infoplane.Monitor(model, byte_tokenizer(), **SMALL)
    found = monitor.probe(0)
    warnings = [] if rank else list(monitor.trajectory.points[0].measurement.provenance["warnings"])
    whole = {} if rank else infoplane.Monitor(tiny_model(), byte_tokenizer(), **SMALL).probe(0)
    return {"kind": sharding and sharding.kind, "found": found, "whole": whole, "warnings": warnings}


def in_a_trainer(rank: int, folder: Path) -> dict[str, Any]:
    """`watch` in a Trainer: copies (DDP), and parts (FSDP2), with a monitor and without."""
    from training import train as run

    from infoplane.models.sharding import sharding_of

    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    said = {}
    # on a CPU accelerate knows no fully_shard, so the model comes with it
    for name, more in {"ddp": {}, "fsdp": {"prepare": _sharded_gpt2}}.items():
        watch = {"every": 2, "tokens": 3000, "context": 64, "m": 16, "out": folder / name}
        losses = []
        for watched in (watch, None):
            trainer, callback = run(folder / f"run-{name}", watched, steps=4, ddp_backend="gloo", **more)
            losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
            if callback is not None:
                logged = [entry["step"] for entry in trainer.state.log_history if "infoplane/model/phase" in entry]
                sharding = sharding_of(trainer.model_wrapped)
                kind = None if sharding is None else sharding.kind
                said[name] = {"logged": logged, "keeps": callback.monitor.keeps, "kind": kind}
        said[name]["losses"] = losses
    return said


def resumed_trainer(rank: int, folder: Path) -> dict[str, Any]:
    """A watched Trainer that is resumed from its checkpoint, trained again, and resumed with other settings."""
    from training import train as run

    import infoplane

    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    watch: dict[str, Any] = {"every": 2, "tokens": 3000, "context": 64, "m": 16, "out": folder / "probes"}
    more = {"ddp_backend": "gloo", "save_steps": 4}
    run(folder / "run", watch, steps=4, **more, save="steps")
    run(folder / "run", watch, steps=8, **more, save="steps", resume=True)
    kept = sorted(path.name for path in (folder / "probes/probes").iterdir())
    try:
        run(folder / "run", {**watch, "tokens": 2000}, steps=12, **more, save="steps", resume=True)
    except infoplane.InfoplaneError as error:
        return {"kept": kept, "said": f"{type(error).__name__}: {error}"}
    return {"kept": kept, "said": None}


def _sharded_gpt2(model: Any) -> Any:
    from torch.distributed.fsdp import fully_shard

    mesh = dist.init_device_mesh("cpu", (2,))
    for block in model.transformer.h:
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def larger_model() -> Any:
    """A Llama of 5 million parameters."""
    import transformers as t

    torch.manual_seed(0)
    config = t.LlamaConfig(
        vocab_size=257, hidden_size=256, num_hidden_layers=6, num_attention_heads=8, intermediate_size=688,
        max_position_embeddings=128,
    )  # fmt: skip
    return t.AutoModelForCausalLM.from_config(config)


def long_run(rank: int, folder: Path, mode: str, until: int, kill: int | None) -> dict[str, Any]:
    """A run with a checkpoint and a probe every two steps, which goes on where it was killed."""
    import signal

    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

    import infoplane

    model = larger_model() if mode == "alone" else spread(larger_model(), mode)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    monitor = infoplane.Monitor(model, byte_tokenizer(), tokens=3000, context=64, m=16)
    begun = max((int(path.name) for path in (folder / "kept").glob("*") if path.name.isdigit()), default=0)
    if begun:
        weights, state = get_state_dict(model, optimizer)
        dcp.load({"model": weights, "optimizer": state}, checkpoint_id=folder / "kept" / str(begun))
        set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=state)
        monitor.resume(folder / "probes", begun)
    else:
        monitor.probe(0)
    for step in range(begun + 1, until + 1):
        ids = torch.cat([batch(step, r, mode="") for r in range(2)]) if mode == "alone" else batch(step, rank, mode)
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 2 == 0:
            monitor.probe(step)
            if monitor.keeps:
                monitor.save(folder / "probes")
        if step == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if step % 4 == 0 and mode != "alone":
            weights, state = get_state_dict(model, optimizer)
            dcp.save({"model": weights, "optimizer": state}, checkpoint_id=folder / "kept" / str(step))
    parameters = sum(p.numel() for p in model.parameters())
    return {"begun": begun, "parameters": parameters}


def gathered(rank: int, folder: Path) -> dict[str, Any]:
    """The largest part of a sharded model that is in one place while it is probed, in numbers of weights."""
    from torch.distributed.tensor import DTensor

    import infoplane

    model = spread(larger_model(), "fsdp")
    monitor = infoplane.Monitor(model, byte_tokenizer(), tokens=3000, context=64, m=16, loss=True)
    found: list[int] = []

    def look(*_: object) -> None:
        found.append(sum(p.numel() for p in model.parameters() if not isinstance(p, DTensor)))

    for block in model.model.layers:
        block.register_forward_hook(look)
    monitor.probe(0)
    after = sum(p.numel() for p in model.parameters() if not isinstance(p, DTensor))
    blocks = [sum(p.numel() for p in block.parameters()) for block in model.model.layers]
    every = sum(p.numel() for p in model.parameters())
    return {"most": max(found), "after": after, "block": max(blocks), "around": every - sum(blocks), "every": every}


def peak(rank: int, folder: Path) -> dict[str, Any]:
    """MiB that the probes of 16,384 tokens add to the largest resident memory."""
    import resource

    import infoplane

    model = spread(larger_model(), "fsdp")
    ids = batch(1, rank, "fsdp")
    model(input_ids=ids, labels=ids).loss.backward()
    monitor = infoplane.Monitor(model, byte_tokenizer(), tokens=16_384)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    monitor.probe(0)
    return {"peak": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}
