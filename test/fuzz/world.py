"""Writes the files that hostile calls name: `world.py DIRECTORY`.

`good/`: small tables that can be learned from; `bad/`: everything else that a path may lead to;
`scripts/`: model scripts, one of them fit for use; `out/`: places to write to, few of which are.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

root = Path(sys.argv[1])
good, bad, scripts, out = (root / name for name in ("good", "bad", "scripts", "out"))
for directory in (good, bad, scripts, out):
    directory.mkdir(parents=True)

random = np.random.default_rng(0)
ROWS = 40
numbers = pd.DataFrame({name: random.normal(size=ROWS).round(3) for name in "abc"})
classes = numbers.assign(kind=np.where(numbers.a + numbers.b > 0, "yes", "no"))
several = numbers.assign(kind=random.choice(["x", "y", "z"], ROWS), weight=random.random(ROWS))
mixed = numbers.assign(
    a=numbers.a.where(numbers.a > -0.5),
    town=random.choice(["Ulm", "Köln"], ROWS),
    kind=random.random(ROWS),
)

classes.to_csv(good / "classes.csv", index=False)
several.to_csv(good / "several.tsv", index=False, sep="\t")
mixed.to_csv(good / "mixed.csv", index=False, sep=";")
classes.to_json(good / "classes.jsonl", orient="records", lines=True)
mixed.to_json(good / "mixed.json", orient="records")
classes.to_csv(good / "utf16.csv", index=False, encoding="utf-16")
mixed.to_csv(good / "latin.csv", index=False, encoding="cp1252")
np.savez(good / "arrays.npz", x=numbers.to_numpy(), y=random.integers(0, 2, ROWS))
np.save(good / "matrix.npy", numbers.to_numpy())
try:
    several.to_parquet(good / "several.parquet")
    several.to_feather(good / "several.feather")
except ImportError:
    pass  # not every environment has pyarrow


def write(name: str, data: bytes | str) -> None:
    (bad / name).write_bytes(data.encode() if isinstance(data, str) else data)


write("empty.csv", "")
write("header.csv", "a,b,c,kind\n")
write("one-row.csv", "a,b,c,kind\n1,2,3,yes\n")
write("one-class.csv", "a,b,c,kind\n" + "1,2,3,yes\n" * 20)
write("ragged.csv", "a,b,c,kind\n1,2\n1,2,3,yes,5,6\n\n,,,\n")
write("twice.csv", "a,a,b,kind\n1,2,3,yes\n2,3,4,no\n" * 5)
write("nameless.csv", ",,,\n1,2,3,yes\n")
write("infinite.csv", "a,b,c,kind\ninf,-inf,nan,yes\n1e308,1e309,-1e400,no\n1,2,3,yes\n4,5,6,no\n")
write("missing.csv", "a,b,c,kind\n,,,\nNA,null,,\n1,,3,\n")
write("unclosed.csv", 'a,b,c,kind\n1,"2,3,yes\n4,5,6,no\n')
write("prototype.csv", "__proto__,constructor,toString,kind\n1,2,3,yes\n4,5,6,no\n" * 5)
write("nul.csv", b"a,b,c,kind\n1,2\x003,4,yes\n\x00\x00\x00")
write("bytes.csv", random.bytes(4000))
write("utf8-broken.csv", b"a,b,c,kind\n1,2,3,\xff\xfe\xc3\n" * 10)
write("long-line.csv", "a,b,c,kind\n" + "9" * 1_000_000 + ",1,2,yes\n")
write("wide.csv", ",".join(f"c{i}" for i in range(3000)) + "\n" + ",".join("1" * 3000) + "\n")
write("many-classes.csv", "a,b,c,kind\n" + "".join(f"{i},{i},{i},k{i}\n" for i in range(150)))
write("deep.json", "[" * 50_000)
write("cut.json", '[{"a": 1, "b"')
write("scalar.json", "42")
write("nan.json", '[{"a": NaN, "kind": Infinity}, {"a": 1e999, "kind": -0.0}]')
write("objects.jsonl", '{"a": {"b": [1, {}]}, "kind": [1]}\n{"a": null}\n[]\n"x"\n')
write("surrogate.jsonl", '{"a": "\\ud800", "kind": "\\udfff"}\n' * 4)
write(
    "huge-claim.npy",
    b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 9), }".ljust(117)
    + b"\n",
)
write(
    "objects.npy",
    b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }".ljust(117)
    + b"\ncos\nsystem\n",
)
write("zip.npz", b"PK\x03\x04 this is no archive")
write("fake.parquet", b"PAR1" + bytes(100) + b"PAR1")
write("fake.feather", b"ARROW1\x00\x00" + bytes(50))
write("fake.csv.gz", b"\x1f\x8b\x08\x00garbage")
write("model.json", '{"learner": {"version": 1}}')
write("model.ubj", random.bytes(200))
write("model.txt", "tree\nversion=v4\nnum_class=1\ngarbage=\n")
write("model.pkl", b"cposix\nsystem\n(S'true'\ntR.")
write("weights.pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.cposix\nsystem\n(S'true'\ntR.")
write("zip.pt", b"PK\x03\x04" + random.bytes(300))
write("model.safetensors", (9**12).to_bytes(8, "little") + b"{}")
write("descriptor.json", '{"framework": "sklearn", "class": "__main__.Evil", "hmac": "00"}')
(bad / "directory.csv").mkdir()
(bad / "loop.csv").symlink_to("loop.csv")
(bad / "dangling.csv").symlink_to("nowhere.csv")
os.mkfifo(bad / "fifo.csv")
(bad / "unreadable.csv").write_text("a\n1\n")
(bad / "unreadable.csv").chmod(0)
os.link(bad / "header.csv", bad / os.fsdecode(b"bytes-\xff\xfe.csv"))
os.link(bad / "header.csv", bad / "line\nbreak.csv")

(scripts / "fine.py").write_text(
    "from sklearn.tree import DecisionTreeClassifier\n\n\n"
    "def build_model(**arguments):\n    return DecisionTreeClassifier(**arguments)\n"
)
(scripts / "net.py").write_text(
    "from torch import nn\n\n\n"
    "class Net(nn.Module):\n"
    "    def __init__(self, in_features=3, num_classes=1, **more):\n"
    "        super().__init__()\n"
    "        self.layer = nn.Linear(in_features, num_classes)\n\n"
    "    def forward(self, inputs):\n        return self.layer(inputs)\n"
)
(scripts / "wrong_shape.py").write_text(
    "from torch import nn\n\n\nclass Net(nn.Linear):\n"
    "    def __init__(self):\n        super().__init__(2, 3)\n"
)
(scripts / "raises.py").write_text("raise RuntimeError('at import: \\ud800')\n")
(scripts / "wrong.py").write_text("def build_model(:\n")
(scripts / "exits.py").write_text(
    'import os\nprint(\'{"jsonrpc": "2.0"}\', flush=True)\nos._exit(3)\n'
)
(scripts / "leaves.py").write_text("import sys\nsys.exit('no more')\n")
(scripts / "nothing.py").write_text("")
(scripts / "returns.py").write_text("def build_model():\n    return 42\n")

(out / "file").write_text("a file, no directory\n")
(out / "loop").symlink_to("loop")
os.mkfifo(out / "fifo")
