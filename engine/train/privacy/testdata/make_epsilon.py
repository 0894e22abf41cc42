# Writes epsilon.json: what Opacus's RDPAccountant says of steps, with its own orders.
#
#   python -m venv v && v/bin/pip install --no-deps opacus==1.6.0 && v/bin/pip install numpy==2.4.6 scipy==1.17.1
#   v/bin/python engine/train/privacy/testdata/make_epsilon.py > engine/train/privacy/testdata/epsilon.json
#
# Only Opacus's accountant runs, which does not need torch: what else the package imports is left out.
import importlib.util, json, os, sys, types
from importlib.metadata import version

root = os.path.dirname(importlib.util.find_spec("opacus").origin)
for name in ("opacus", "opacus.optimizers", "opacus.accountants"):
    m = types.ModuleType(name)
    m.__path__ = [os.path.join(root, *name.split(".")[1:])]
    sys.modules[name] = m
sys.modules["opacus.optimizers"].DPOptimizer = object  # named in a type only
from opacus.accountants.rdp import RDPAccountant


def case(history, delta):
    a = RDPAccountant()
    a.history = [(noise, rate, steps) for rate, noise, steps in history]
    epsilon, order = a.get_privacy_spent(delta=delta)
    return {
        "steps": [{"rate": r, "noise": n, "count": c} for r, n, c in history],
        "delta": delta,
        "epsilon": epsilon,
        "order": order,
    }


cases = []
for rate in (1e-4, 0.001, 0.004, 0.01, 0.04, 0.1, 0.3, 0.7, 1.0):
    for noise in (0.3, 0.5, 0.7, 1.0, 1.3, 2.0, 4.0, 20.0):
        for count in (1, 10, 240, 5000):
            for delta in (1e-3, 1e-5, 1e-7):
                cases.append(case([(rate, noise, count)], delta))
for delta in (1e-3, 1e-5, 1e-7):
    cases.append(case([(0.01, 1.1, 300), (0.02, 1.1, 100), (0.01, 0.8, 50), (0.01, 1.1, 200)], delta))
    cases.append(case([(1.0, 6.0, 20), (0.25, 3.0, 7)], delta))
versions = {k: version(k) for k in ("opacus", "numpy", "scipy")}
versions["python"] = ".".join(map(str, sys.version_info[:3]))
print(json.dumps({"versions": versions, "cases": cases}, separators=(",", ":")).replace('{"steps"', '\n{"steps"'))
