"""Compares rounds of averaging with hivemind's on loopback: processes of their own average vectors of
float32, by turns, so that whatever else the machine does slows both.

    python compare.py COVEY [--peers 4] [--params 25000000] [--rounds 4] [--turns 3]

COVEY is the built program. Prints for each turn and in the end the median seconds of a round, of the
slowest peer, and hivemind's over Covey's: f32 against f32, and int8 against f16, the smallest that
hivemind averages right. A round of hivemind is timed twice: from step() to the result, and its
all-reduce alone. Made for hivemind 1.1.12, which brings its own p2pd, and Python 3.11.
"""
import argparse
import json
import multiprocessing
import statistics
import subprocess
import time


def peer(index, args, codec, initial, results, barrier):
    multiprocessing.set_start_method("fork", force=True)  # hivemind's own processes cannot be pickled
    import logging
    logging.disable(logging.CRITICAL)
    import hivemind
    import torch
    from hivemind.compression import Float16Compression, NoCompression
    torch.set_num_threads(1)
    dht = hivemind.DHT(initial_peers=initial, host_maddrs=["/ip4/127.0.0.1/tcp/0"], start=True, ensure_bootstrap_success=False)
    if not initial:
        results.put([str(a) for a in dht.get_visible_maddrs(latest=True)])
    values = torch.randn(args.params) * 0.01
    averager = hivemind.averaging.DecentralizedAverager(
        [values], dht, prefix="compare", target_group_size=args.peers, min_group_size=args.peers, min_matchmaking_time=2.0, request_timeout=1.5,
        compression=Float16Compression() if codec == "f16" else NoCompression(), start=True, allreduce_timeout=120)
    for _ in range(args.rounds + 1):
        barrier.wait()
        called = time.time()
        control = averager.step(wait=False, scheduled_time=hivemind.utils.timed_storage.get_dht_time() + 3.0, timeout=180, require_trigger=True)
        while not control.began_allreduce and control.stage.name != "AWAITING_TRIGGER":
            time.sleep(0.002)
        barrier.wait()
        begun = time.time()
        control.allow_allreduce()
        control.result(timeout=180)
        results.put((time.time() - begun, time.time() - called))
    barrier.wait()
    averager.shutdown()
    dht.shutdown()


def hivemind(args, codec):
    """The medians of all-reduce alone and of whole rounds; the first round warms up."""
    context = multiprocessing.get_context("spawn")
    results, barrier = context.Queue(), context.Barrier(args.peers)
    processes, initial = [], []
    for i in range(args.peers):
        processes.append(context.Process(target=peer, args=(i, args, codec, initial, results, barrier)))
        processes[-1].start()
        if i == 0:
            initial = results.get(timeout=300)
        time.sleep(6)  # the import of torch, and the p2pd
    rounds = [[results.get(timeout=300) for _ in range(args.peers)] for _ in range(args.rounds + 1)]
    for p in processes:
        p.join(60)
        if p.is_alive():
            p.terminate()
    return [statistics.median(max(r[k] for r in slowest) for slowest in rounds[1:]) for k in (0, 1)]


def covey(args, codec):
    out = subprocess.run(
        [args.covey, "bench", "average", "--json", "--peers", str(args.peers), "--params", str(args.params), "--codec", codec, "--rounds", str(args.rounds)],
        check=True, stdout=subprocess.PIPE).stdout
    result = json.loads(out)
    assert result["same_state"], "peers hold different bits"
    return result["median_seconds"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("covey")
    parser.add_argument("--peers", type=int, default=4)
    parser.add_argument("--params", type=int, default=25_000_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    seen = {}
    for turn in range(args.turns):
        for ours, theirs in (("f32", "f32"), ("int8", "f16")):
            a, (reduce, whole) = covey(args, ours), hivemind(args, theirs)
            seen.setdefault((ours, theirs), []).append((a, reduce, whole))
            print(f"turn {turn + 1}: covey {ours} {a:.3f} s, hivemind {theirs} {reduce:.3f} s of all-reduce, {whole:.3f} s with matchmaking", flush=True)
    for (ours, theirs), rows in seen.items():
        a, reduce, whole = (statistics.median(column) for column in zip(*rows))
        print(f"covey {ours} {a:.3f} s, hivemind {theirs} {reduce:.3f} s: {reduce / a:.2f} times as long; with matchmaking {whole / a:.2f} times")


if __name__ == "__main__":
    main()
