"""Many runs: what is asked of workers, what comes back, and what is said when something fails."""

import ast
import io
import json
import os
import socket
import sys
from contextlib import closing
from pathlib import Path

import pytest
import torch

import lib.train as loop
from book import __main__ as command_line
from lib.files import BOOK, as_json, results, write_text
from lib.record import load_model, read_record
from studies import identity, ladder, processes, progress, runs, seeds, worker
from studies.cluster import Cluster
from studies.runs import Asked

from .small import CONFIG, TITLES, other_code

SEEDS = (1337, 1338, 1339)


class Workers:
    """Like a cluster's workers, but in this process: a run is trained when its outcome is due.

    `lost` gives, by seed, how many outcomes get lost; `elsewhere` says that the workers see no
    folder of this process.
    """

    threads = 1

    def __init__(self, room=2, lost=None, elsewhere=False, job=lambda job: job):
        self.room, self.lost, self.shared, self.change = room, dict(lost or {}), not elsewhere, job
        self.jobs, self.given, self.most, self.stopped, self.closed = [], [], 0, [], False

    def slots(self):
        return self.room

    def start(self, job, titles, sent=()):
        self.jobs.append(self.change(json.loads(json.dumps(job))))
        self.given.append((titles, sent))
        return len(self.jobs) - 1

    def finished(self, started, seconds):
        self.most = max(self.most, len(started))
        return started[-1:]  # never in the order asked

    def outcome(self, started):
        job, (titles, sent) = self.jobs[started], self.given[started]
        there = Path(f"{job['folder']}-there")  # on a machine that may have a folder of this name
        if job["folder"] and not self.shared:
            job = {**job, "folder": str(there)}
            if job["config"]["seed"] % 2:
                write_text(there / worker.TOKEN, "another")
        outcome = worker.work(job, titles, lambda: sent)
        assert {path.name for path in there.glob("*")} <= {worker.TOKEN}
        seed = job["config"]["seed"]
        if job["folder"] and self.lost.get(seed):
            self.lost[seed] -= 1
            raise worker.Died("its worker was ended by SIGKILL")
        files = outcome.pop("files", ())
        return {**json.loads(json.dumps(outcome)), "files": files}

    def stop(self, started):
        self.stopped += started

    def close(self):
        self.closed = True


def asked(folder, name="one"):
    return [Asked(name, CONFIG.change(seed=seed), folder) for seed in SEEDS]


def lasting(record):
    """The part of a run record that depends neither on when it was trained nor on how fast."""
    kept = {k: v for k, v in as_json(record).items() if k not in ("created", "speed")}
    kept["environment"].pop("commit")  # another may be made meanwhile
    return kept


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The folder of three runs that were trained one after another, and their records."""
    folder = tmp_path_factory.mktemp("here")
    return folder, [lasting(r) for r in runs.records(asked(folder), TITLES)]


@pytest.fixture
def diverging(monkeypatch):
    """One of three runs loses its number."""
    train = worker.train

    def diverge(config, *arguments, **more):
        if config.seed == 1338:
            raise FloatingPointError("The loss is nan at step 3.")
        return train(config, *arguments, **more)

    monkeypatch.setattr(worker, "train", diverge)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_workers_give_the_records_of_one_run_after_another_in_their_order(
    here, tmp_path, capsys, elsewhere
):
    workers = Workers(2, elsewhere=elsewhere)
    found = runs.records(asked(tmp_path), TITLES, workers=workers)
    assert [lasting(record) for record in found] == here[1]
    assert workers.most == 2 and len(workers.jobs) == 3
    told = capsys.readouterr().out
    for seed in SEEDS:
        assert told.count(f"seed {seed} ") == 1
        log = (tmp_path / f"one-{seed}" / "worker.log").read_text("utf-8")
        assert f"one seed {seed}, threads 1, on " in log
    # What was finished is taken as it is, whoever trained it, and wherever.
    again = runs.records(asked(tmp_path), TITLES)
    assert [lasting(record) for record in again] == here[1]
    assert capsys.readouterr().out.count("Trained before.") == 3


def test_a_step_that_only_counts_waits_for_the_run_that_it_goes_on_from(tmp_path, monkeypatch):
    steps = {"04_lowest_loss": CONFIG, "05_counting": CONFIG.change(counts=0.2)}
    monkeypatch.setattr(runs, "load_step", lambda step, _: steps.get(step, CONFIG.change(epochs=2)))
    workers = Workers(6)
    both = [
        Asked(name, config.change(seed=seed), tmp_path)
        for name, config in steps.items()
        for seed in SEEDS[:2]
    ]
    assert len({one.folder for one in both}) == 2
    found = runs.records(both, TITLES, workers=workers)
    assert workers.most == 2 and len(found) == 4  # though there is room for more
    assert all("counted" in record for record in found[2:])
    assert {path.name for path in tmp_path.iterdir()} == {f"04_lowest_loss-{s}" for s in SEEDS[:2]}


def test_a_run_goes_on_from_the_checkpoint_that_was_sent_to_a_worker_elsewhere(
    here, tmp_path, monkeypatch, capsys
):
    measure, calls = loop._measure, []

    def stop(*arguments):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return measure(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "_measure", stop)
        runs.records(asked(tmp_path)[:1], TITLES)
    (record,) = runs.records(asked(tmp_path)[:1], TITLES, workers=Workers(1, elsewhere=True))
    assert lasting(record) == here[1][0]
    assert "Went on after" in capsys.readouterr().out
    assert not list((tmp_path / "one-1337").glob("*.tmp"))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_worker_publishes_a_recipe_as_this_process_does(tmp_path, monkeypatch, elsewhere):
    monkeypatch.setattr(seeds, "load_step", lambda *_: CONFIG)
    published = seeds.train_recipe("smoke", TITLES, tmp_path / "here")
    workers, out = Workers(elsewhere=elsewhere), tmp_path / "out"
    record = seeds.train_recipe("smoke", TITLES, out, workers=workers)
    assert lasting(record) == lasting(published) and record["losses"]["test"] > 0
    assert read_record(out, "smoke", "public_best") == record
    load_model(out, "smoke", "public_best")  # the weights are the record's
    kept = [
        sorted(p.relative_to(o) for p in o.rglob("results/**/*")) for o in (out, tmp_path / "here")
    ]
    assert kept[0] == kept[1] and len(kept[0]) > 5
    assert seeds.train_recipe("smoke", TITLES, out) == record  # it is there, and taken
    # Another run is one look more at the test titles, which the worker knows of.
    monkeypatch.setattr(seeds, "load_step", lambda *_: CONFIG.change(seed=7))
    again = seeds.train_recipe("smoke", TITLES, out, "fresh", workers=workers)
    assert (record["test_looks"], again["test_looks"]) == (1, 2)
    assert read_record(out, "smoke", "public_best") == again


@pytest.mark.parametrize("workers", [None, Workers(2)])
def test_a_run_that_diverges_is_that_runs_failure_and_the_others_are_kept(
    here, tmp_path, diverging, capsys, workers
):
    with pytest.raises(FloatingPointError, match=r"^1 of 3 runs failed; the others are kept\. "
                       r"one seed 1338: The loss is nan at step 3\.$"):  # fmt: skip
        runs.records(asked(tmp_path), TITLES, workers=workers)
    told = capsys.readouterr().out
    assert "seed 1338 failed." in told
    outcomes = dict(runs.many(asked(tmp_path), TITLES))
    assert "Trained before." in (told := capsys.readouterr().out) and told.count("Trained") == 2
    kept = [r for r in outcomes.values() if isinstance(r, dict)]
    assert [lasting(r) for r in kept] == [here[1][0], here[1][2]]


def test_a_step_with_a_failed_seed_has_no_record_and_the_others_have(
    tmp_path, diverging, monkeypatch
):
    seed = {"01_baseline": 0, "02_adamw": 10}  # the second step has no seed 1338
    monkeypatch.setattr(seeds, "load_step", lambda step, _: CONFIG)
    real = seeds._asked

    def moved(name, config, folder, numbers):
        return real(name, config, folder, [number + seed[name] for number in numbers])

    monkeypatch.setattr(seeds, "_asked", moved)
    for workers in (None, Workers(4)):
        out = tmp_path / str(workers is None)
        with pytest.raises(FloatingPointError, match=r"1 of 4 runs failed.* 01_baseline seed 1338"):
            seeds.train_steps(list(seed), "smoke", TITLES, out, 2, workers=workers)
        assert not results(out, "smoke", "seeds/01_baseline").exists()
        assert seeds.read_seeds(out, "02_adamw", "smoke")["seeds"] == [1347, 1348]


@pytest.mark.parametrize("resume", ["same", "fresh"])
def test_a_run_whose_worker_dies_is_tried_again_from_its_checkpoint(here, tmp_path, capsys, resume):
    workers = Workers(2, lost={1338: 2})
    found = runs.records(asked(tmp_path), TITLES, resume, workers)
    assert [lasting(record) for record in found] == here[1]
    told = capsys.readouterr().out
    assert told.count("seed 1338 is tried again: its worker was ended by SIGKILL.") == 2
    assert told.count("Trained before.") == 1  # it had been finished before it was lost


def test_fresh_trains_again_what_was_finished(tmp_path, capsys):
    for resume in ("same", "fresh"):
        runs.records(asked(tmp_path)[:1], TITLES, resume, Workers())
    assert "Trained before." not in capsys.readouterr().out


def test_a_run_whose_workers_all_die_is_told_by_name(tmp_path):
    with pytest.raises(worker.Died, match=r"1 of 3 runs failed; .* one seed 1339: .*SIGKILL"):
        runs.records(asked(tmp_path), TITLES, workers=Workers(2, lost={1339: runs.TRIES}))


def test_what_nobody_foresaw_is_told_and_tried_again(tmp_path, monkeypatch, capsys):
    def break_(*_, **__):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(worker, "train", break_)
    with pytest.raises(worker.Died, match=r"1 of 1 runs failed\. .*RuntimeError: CUDA out of mem"):
        runs.records(asked(tmp_path)[:1], TITLES, workers=Workers())
    log = (tmp_path / "one-1337" / "worker.log").read_text("utf-8")
    assert log.count("Traceback") == capsys.readouterr().out.count("tried again") + 1 == runs.TRIES


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"code": {"model": "0" * 16}}, r"code\.model \('[0-9a-f]{16}', here '0{16}'\)"),
        ({"torch": "1.0"}, r"torch \('.*', here '1\.0'\)"),
        ({"stories": "0" * 16}, r"stories \('[0-9a-f]{16}', here '0{16}'\)"),
    ],
)
def test_a_worker_of_another_version_is_refused_by_name(tmp_path, change, named):
    def other(job):
        version = job["version"]
        code = {**version["code"], **change.get("code", {})}
        return {**job, "version": {**version, **change, "code": code}}

    workers = Workers(2, job=other)
    with pytest.raises(ValueError, match=rf"worker on .*, process {os.getpid()} is .*: {named}\. "):
        runs.records(asked(tmp_path), TITLES, workers=workers)
    assert not list(tmp_path.glob("*/step-*")) and len(workers.stopped) == 1
    with pytest.raises(ValueError, match="is of another version"):
        runs.identity_of(CONFIG, TITLES, workers)


def test_a_version_is_of_all_titles_and_of_the_code(monkeypatch):
    version = identity.version(TITLES)
    changed = [
        identity.version(type(TITLES)(**{**vars(TITLES), part: vars(TITLES)[part][:-1]}))
        for part in ("train", "val", "test")
    ]
    assert len({json.dumps(v) for v in [version, *changed]}) == 4
    other_code(monkeypatch, identity)
    assert identity.differing(version, identity.version(TITLES)).keys() == {"code.model"}


def test_the_identity_of_a_run_is_that_of_the_worker(here):
    known = runs.identity_of(CONFIG, TITLES, Workers())
    assert known == runs.identity_of(CONFIG, TITLES) == here[1][0]["identity"]


def test_checkpoints_of_another_run_stop_all_and_end_the_workers(tmp_path, monkeypatch):
    runs.records(asked(tmp_path)[1:2], TITLES)
    others = [Asked("one", one.config.change(dropout=0.3), tmp_path) for one in asked(tmp_path)]
    workers = Workers(3)
    with pytest.raises(ValueError, match=r"one-1338 is of another run: its config\.dropout is"):
        runs.records(others, TITLES, workers=workers)
    assert len(workers.stopped) == 1
    with pytest.raises(ValueError, match=r"config\.dropout"):  # nor by word
        runs.records(others[1:2], TITLES, "accept", Workers())
    other_code(monkeypatch, identity)
    found = runs.records(asked(tmp_path)[1:2], TITLES, "accept", Workers())
    assert found[0]["accepted"] == ["code.model"]


FOUR = {
    "still": {"title": "s", "why": "w", "changes": {"learning_rate": 1e-12}},
    "rope": {"title": "r", "why": "w", "changes": {"position": "rope"}},
    "quick": {"title": "q", "why": "w", "changes": {"learning_rate": 3e-3}},
}


def test_a_ladder_trains_at_once_what_waits_for_no_verdict(tmp_path, monkeypatch):
    monkeypatch.setattr(ladder, "load_step", lambda *_: CONFIG)
    climbed, most = [], []
    for place in ("here", "workers"):
        workers = None if place == "here" else Workers(100)
        climbed.append(ladder.climb("smoke", TITLES, tmp_path / place, 2, FOUR, workers=workers))
    most.append(workers.most)
    like = ladder.read_ladder(tmp_path / "here", "smoke")
    like["rungs"]["still"]["kept"] = True
    for place in ("here", "workers"):
        workers = None if place == "here" else Workers(100)
        out = tmp_path / f"like-{place}"
        climbed.append(ladder.climb("smoke", TITLES, out, 1, FOUR, like, workers=workers))
    most.append(workers.most)
    assert most == [2, 4]  # the seeds of a rung; all rungs
    for one, other in (climbed[:2], climbed[2:]):
        for name, rung in one["rungs"].items():
            assert {**rung, "seconds": 0} == {**other["rungs"][name], "seconds": 0}
        assert one["identity"] == other["identity"]
    # And of a ladder that is there in part, what it lacks.
    path = results(tmp_path / "like-workers", "smoke", "ladder")
    record = json.loads(path.read_text("utf-8"))
    del record["rungs"]["quick"], record["rungs"]["rope"]
    write_text(path, json.dumps(record))
    workers = Workers(100)
    out = tmp_path / "like-workers"
    again = ladder.climb("smoke", TITLES, out, 1, FOUR, like, workers=workers)
    names = [job["name"].split("-")[0] for job in workers.jobs if job["name"]]
    assert names == ["rope", "quick"] and workers.most == 2
    assert [r["losses"] for r in again["rungs"].values()] == [
        r["losses"] for r in climbed[2]["rungs"].values()
    ]


def test_the_line_for_all_says_how_many_and_how_long(tmp_path, monkeypatch, capsys):
    four = [Asked("one", CONFIG.change(seed=i, epochs=4), tmp_path) for i in range(4)]
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def log(one, *epochs):
        lines = [json.dumps({"step": 1, "epoch": epoch}) + "\n" for epoch in epochs]
        write_text(one.folder / "log.jsonl", "".join(lines))

    log(four[0], 1.0, 2.0)  # half of it is there
    line = progress.Progress(four)
    line.show(2, 2, always=True)
    assert capsys.readouterr().out == "0 done, 2 running, 2 waiting; time left not known yet\n"
    now[0] += 60
    log(four[0], 3.0)  # a quarter of a run says little: the workers have only begun
    line.show(2, 2, always=True)
    assert capsys.readouterr().out.endswith("time left not known yet\n")
    now[0] += 540
    log(four[0], 4.0)
    line.finished(four[0], "one seed 0: done")
    log(four[1], 1.0, 2.0)
    line.show(2, 1)
    assert capsys.readouterr().out == "one seed 0: done\n"  # no terminal: only when one has ended
    line.show(2, 1, always=True)
    # A run's worth in ten minutes; two and a half are left.
    assert capsys.readouterr().out == "1 done, 2 running, 1 waiting; about 25 min left\n"
    now[0] += 6600
    line.show(2, 1, always=True)
    assert "about 5 h 0 min left" in capsys.readouterr().out


def test_on_a_terminal_the_line_is_written_over(tmp_path, monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", screen)
    line = progress.Progress(asked(tmp_path))
    line.show(1, 2)
    line.say("a line of its own")
    line.show(1, 1)
    line.close()
    shown = [text.split("\r")[-1] for text in screen.getvalue().split("\n")]
    assert shown == ["a line of its own", ""]
    assert "0 done, 1 running, 2 waiting; time left not known yet\r" in screen.getvalue()


def test_a_command_takes_workers_and_closes_them(tmp_path, monkeypatch):
    made = []
    for place, name in (("processes", "Processes"), ("cluster", "Cluster")):
        module = __import__(f"studies.{place}", fromlist=[name])
        monkeypatch.setattr(
            module, name, lambda *a, name=name: made.append((name, *a, Workers())) or made[-1][-1]
        )
    monkeypatch.setattr(command_line, "resolve_stories", lambda *_: (None, TITLES))
    monkeypatch.setattr(seeds, "load_step", lambda *_: CONFIG)
    monkeypatch.setattr(ladder, "load_step", lambda *_: CONFIG)
    common = ["--preset", "smoke", "--seeds", "2", "--out", str(tmp_path)]
    for flags in (["--workers", "3"], ["--ray", "auto"], ["--ray", "auto", "--workers", "3"]):
        command = ["seeds", "--step", "01_baseline", *common, *flags]
        assert command_line.main(command) == 0
    monkeypatch.setattr(ladder, "LEVERS", {"still": FOUR["still"]})
    assert command_line.main(["ladder", *common, "--workers", "2"]) == 0
    peer = ["peer", "--preset", "smoke", "--out", str(tmp_path), "--ray", "one:6379"]
    assert command_line.main(peer) == 0
    assert [m[:3] if m[0] == "Cluster" else m[:2] for m in made] == [
        ("Processes", 3),
        ("Cluster", "auto", 1),
        ("Cluster", "auto", 3),
        ("Processes", 2),
        ("Cluster", "one:6379", 1),
    ]
    assert all(m[-1].jobs and m[-1].closed for m in made)


def test_wrong_workers_are_refused_in_plain_words(tmp_path, monkeypatch, capsys):
    common = ["seeds", "--preset", "smoke", "--out", str(tmp_path)]
    assert command_line.main([*common, "--workers", "0"]) == 1
    assert "0 workers train nothing; ask for at least 1." in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        assert command_line.main([*common, "--ray", address]) == 1
    assert f"No Ray cluster answers at {address}: " in capsys.readouterr().err
    assert command_line.main([*common, "--ray", "auto"]) == 1
    assert "pip install -r requirements-cluster.txt" in capsys.readouterr().err


def test_ray_is_imported_nowhere_but_where_a_cluster_is_asked_for():
    found = set()
    for path in (
        p for room in ("lib", "studies", "drawing", "book") for p in (BOOK / room).glob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "ray" for name in names):
                found.add((path.stem, node.col_offset > 0))
    assert found == {("cluster", True)}


def test_each_worker_has_its_share_of_the_cores_and_a_gpu_in_turn(monkeypatch):
    seen = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(processes.subprocess, "Popen", lambda *_, env, **__: seen.append(env))
    for gpus, named in ((0, ""), (2, ""), (2, "4,5")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        with closing(processes.Processes(3)) as workers:
            for number in range(3):
                workers._new(number)
    assert {env["OMP_NUM_THREADS"] for env in seen} == {"2"} and workers.threads == 2
    shown = [env["CUDA_VISIBLE_DEVICES"] for env in seen]
    assert shown == ["", "", "", "0", "1", "0", "4", "5", "4"]


class Ray:
    """What is used of Ray: `machines` are the resources of each, None of one that is gone."""

    def __init__(self, *machines):
        self.machines, self.asks, self.puts, self.given = machines, [], [], None

    def init(self, address, runtime_env, **_):
        self.given = address, runtime_env["env_vars"]

    def nodes(self):
        return [{"Alive": m is not None, "Resources": m or {"CPU": 99}} for m in self.machines]

    def put(self, value):
        self.puts.append(value)
        return f"ref {len(self.puts)}"

    def remote(self, **how):
        # It is tried again by who asked, and told; on a GPU a process has one run.
        gpus = any("GPU" in machine for machine in self.machines if machine)
        assert how == {"max_retries": 0, "max_calls": 1 if gpus else 0}
        return lambda function: self

    def options(self, **asks):
        self.asks.append(asks)
        return self


@pytest.mark.parametrize(
    ("machines", "room", "asks"),
    [
        (({"CPU": 3.0}, {"CPU": 5.0}, None), 3, {"num_cpus": 2}),  # two and a half would be split
        (({"CPU": 8.0, "GPU": 1.0}, {"CPU": 4.0, "GPU": 4.0}, {"CPU": 64.0}), 5, {"num_gpus": 1}),
        (({"CPU": 1.0}, {"CPU": 1.0}, None), 0, None),
    ],
)
def test_a_run_asks_a_cluster_for_a_gpu_else_for_its_cores(monkeypatch, machines, room, asks):
    ray = Ray(*machines)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    workers = Cluster("auto", 4, {"GOMP_SPINCOUNT": "3000"})
    assert ray.given == ("auto", {"GOMP_SPINCOUNT": "3000", "OMP_NUM_THREADS": "2"})
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert workers.slots() == room
    job = worker.job_of(TITLES, CONFIG, 2)
    monkeypatch.setattr(Ray, "remote", lambda self, *arguments: arguments)
    if not room:
        with pytest.raises(ValueError, match=r"asks for 2 cores, and the machines .* have 1, 1:"):
            workers.start(job, TITLES)
        return
    assert [workers.start(job, TITLES)[1] for _ in range(2)] == ["ref 1", "ref 1"]
    assert ray.asks == [asks, asks] and ray.puts == [TITLES, (), ()]  # the stories once
