from pathlib import Path

import pytest

from gossamer_models.architecture import load_architecture
from gossamer_models.errors import InputError
from gossamer_models.loading import resolve
from gossamer_models.loss_scale import LossScale
from gossamer_models.network import load_network
from gossamer_models.shapes import infer
from gossamer_models.sparsity import Pattern
from gossamer_models.workload import Workload, load_workload

WORKLOADS = Path(__file__).parents[2] / "workloads"
GOOD = {
    "network": "resnet18-64",
    "batch": "512",
    "training": '{method: bdwp, sparsity: "2:8", optimizer: sgd-momentum}',
    "baseline": "{method: dense}",
    "architecture": "vcu1525-32x32",
}


def load(folder: Path, **changes: str | None) -> Workload:
    path = folder / "work.yaml"
    items = {**GOOD, **changes}
    path.write_text("".join(f"{key}: {value}\n" for key, value in items.items() if value is not None))
    return load_workload(path)


def fault(folder: Path, **changes: str | None) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{folder}/work.yaml: ")


def test_the_example_of_the_contract(tmp_path: Path) -> None:
    workload = load(tmp_path)
    assert (workload.name, workload.network, workload.batch) == ("work", "resnet18-64", 512)
    assert (workload.training.method, workload.training.pattern) == ("bdwp", Pattern(2, 8))
    assert workload.training.optimizer == "sgd-momentum"
    assert (workload.baseline.method, workload.baseline.pattern) == ("dense", None)
    assert (workload.architecture, workload.memory) == ("vcu1525-32x32", None)
    assert workload.im2col == "host"
    assert load(tmp_path, im2col="machine").im2col == "machine"


def test_defaults_and_unquoted_sparsity(tmp_path: Path) -> None:
    workload = load(tmp_path, training="{method: sr-ste, sparsity: 2:4}", baseline=None, memory="ideal")
    assert workload.training.pattern == Pattern(2, 4)
    assert workload.training.optimizer == "sgd-momentum"
    assert workload.baseline.method == "dense"
    assert workload.memory == "ideal"


def test_loss_scale(tmp_path: Path) -> None:
    assert load(tmp_path).training.loss_scale == 1024.0
    assert load(tmp_path, training="{method: dense, loss_scale: 3}", baseline=None).training.loss_scale == 3.0
    dynamic = load(tmp_path, training="{method: dense, loss_scale: {}}", baseline=None).training.loss_scale
    assert dynamic == LossScale(initial=65536.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000)
    text = "{method: dense, loss_scale: {initial: 0.5, growth_factor: 4, backoff_factor: 0.25, growth_interval: 7}}"
    given = load(tmp_path, training=text, baseline=None).training.loss_scale
    assert given == LossScale(initial=0.5, growth_factor=4.0, backoff_factor=0.25, growth_interval=7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": None}, "network: the key is missing"),
        ({"network": "3"}, "network: must be a string, not 3"),
        ({"batch": "0"}, "batch: must be greater than or equal to 1, not 0"),
        ({"batch": "-4"}, "batch: must be greater than or equal to 1, not -4"),
        ({"batch": "1.0"}, "batch: must be an integer, not 1.0"),
        ({"batch": "'8'"}, "batch: must be an integer, not '8'"),
        ({"batches": "8"}, "batches: unknown key, did you mean 'batch'? (expected one of "),
        (
            {"memory": "ddr5"},
            "memory: must be 'ideal', 'ddr4', 'lpddr4', 'hbm2' or 'ddr4-bank', not 'ddr5', did you mean 'ddr4'?",
        ),
        ({"im2col": "image"}, "im2col: must be 'host' or 'machine', not 'image'"),
        ({"training": "bdwp"}, "training: must be a mapping, not 'bdwp'"),
        (
            {"training": "{method: bdpw, sparsity: 2:8}"},
            "training.method: unknown method 'bdpw', did you mean 'bdwp'? (expected one of dense, ",
        ),
        ({"training": "{method: bdwp}"}, 'training: method bdwp needs `sparsity`, for example "2:8"'),
        (
            {"training": "{method: dense, sparsity: 2:8}"},
            "training: `sparsity` must be left out for method dense, not '2:8'",
        ),
        (
            {"training": "{method: bdwp, sparsity: 2:8, optimizer: sgd-momentun}"},
            "training.optimizer: must be 'sgd' or 'sgd-momentum', not 'sgd-momentun', did you mean 'sgd-momentum'?",
        ),
        (
            {"training": "{method: bdwp, sparsty: 2:8}"},
            "training.sparsty: unknown key, did you mean 'sparsity'? (expected one of loss_scale, method, ",
        ),
        *(
            ({"training": f"{{method: dense, loss_scale: {scale}}}"}, f"training.loss_scale{message}")
            for scale, message in (
                ("0", ": must lie between 2^-96 and 2^96, not 0"),
                ("-8", ": must lie between 2^-96 and 2^96, not -8"),
                ("1.0e+30", ": must lie between 2^-96 and 2^96, not 1e+30"),
                ("dynamic", ": must be a number, not 'dynamic'"),
                ("[1]", ": must be a number, not a list of 1"),
                ("{initial: 3}", ".initial: must be a power of two, not 3"),
                ("{growth_factor: 1}", ".growth_factor: must be greater than 1, not 1"),
                ("{growth_factor: 3}", ".growth_factor: must be a power of two, not 3"),
                ("{backoff_factor: 1}", ".backoff_factor: must be less than 1, not 1"),
                ("{backoff_factor: 0}", ".backoff_factor: must be a power of two, not 0"),
                ("{growth_interval: 0}", ".growth_interval: must be greater than or equal to 1, not 0"),
                ("{growth_interval: 2.5}", ".growth_interval: must be an integer, not 2.5"),
                ("{growth: 2}", ".growth: unknown key, did you mean 'growth_factor'? (expected one of "),
            )
        ),
        ({"baseline": "{method: sdwp}"}, 'baseline: method sdwp needs `sparsity`, for example "2:8"'),
        (
            {"training": '{method: transposable, sparsity: "2:8"}'},
            'training: method transposable takes sparsity "2:4", not "2:8"',
        ),
        (
            {"baseline": "{method: inference}"},
            "method of `baseline` must be a method that trains, as that of `training`",
        ),
        (
            {"training": "{method: inference}", "baseline": "{method: dense}"},
            "method of `baseline` must be inference, as that of `training`, not dense",
        ),
    ],
)
def test_faulty_workloads(tmp_path: Path, changes: dict[str, str | None], message: str) -> None:
    assert fault(tmp_path, **changes).startswith(message)


@pytest.mark.parametrize(
    ("sparsity", "message"),
    [
        ("8:2", "training.sparsity: N of a sparsity N:M must lie between 1 and M = 2, not 8"),
        ("0:8", "training.sparsity: N of a sparsity N:M must lie between 1 and M = 8, not 0"),
        ("2:0", "training.sparsity: M of a sparsity N:M must be "),
        ("2:32", "training.sparsity: M of a sparsity N:M must be one of 2, 4, 8, 16, not 32"),
        ("1:3", "training.sparsity: M of a sparsity N:M must be one of 2, 4, 8, 16, not 3"),
        ("2/8", "training.sparsity: sparsity must be of the form"),
        ("-1:8", "training.sparsity: sparsity must be of the form"),
        ("8", "training.sparsity: must be a string, not 8"),
        ("[2, 8]", "training.sparsity: must be a string, not a list of 2"),
    ],
)
def test_faulty_sparsities(tmp_path: Path, sparsity: str, message: str) -> None:
    assert fault(tmp_path, training=f"{{method: bdwp, sparsity: {sparsity}}}").startswith(message)


def test_files_that_are_no_workload(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such file; expected a YAML file"):
        load_workload(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- network: resnet18-64\n")
    with pytest.raises(InputError, match=r"list\.yaml: the file is a list; expected a YAML mapping"):
        load_workload(tmp_path / "list.yaml")


def test_references_are_relative_to_the_workload(tmp_path: Path) -> None:
    (tmp_path / "nets").mkdir()
    network = tmp_path / "nets" / "mine.yaml"
    network.write_bytes(resolve("digits-mlp", "networks").read_bytes())
    workload = load(tmp_path, network="nets/mine.yaml")
    assert load_network(workload.network, relative_to=workload.source).source == str(network)


@pytest.mark.parametrize("path", sorted(WORKLOADS.glob("*.yaml")), ids=lambda path: path.stem)
def test_ready_workloads_load_with_all_they_refer_to(path: Path) -> None:
    workload = load_workload(path)
    assert infer(load_network(workload.network, workload.source), workload.batch)[0].batch == workload.batch
    assert load_architecture(workload.architecture, workload.source).name == workload.architecture


def test_there_are_ready_workloads() -> None:
    assert {path.stem for path in WORKLOADS.glob("*.yaml")} >= {
        "resnet18-64-bdwp",
        "resnet50-224-bdwp",
        "resnet9-32-bdwp",
        "digits-cnn-bdwp",
    }
