from pathlib import Path

import pytest
import torch

from mdibench.config.schema import ModelSection
from mdibench.errors import UserError
from mdibench.models import packaged
from mdibench.models.registry import build_network, load_model, load_network, network_info
from mdibench.models.weights import save_weights

USERS = "tests.models.users_networks"


@pytest.mark.parametrize("name", ["good", "network"])
def test_a_users_network_loads_and_is_described(name: str) -> None:
    model = ModelSection(name=f"{USERS}:{name}")
    assert load_model(model).exits == 2
    info = network_info(model)
    assert info.blocks[1].output_shape == (4, 16, 16)
    assert info.blocks[0].flops == 2 * 9 * 4 * 1024 + 2 * 40


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("nothing", r"nothing\(\) returned NoneType; return \(blocks, heads\)"),
        ("uneven", "has 2 blocks and 1 heads"),
        ("empty", "has 0 blocks and 0 heads"),
        ("one_module", "returned Linear as blocks; return a list"),
        ("not_a_list", "returned int as blocks"),
        ("not_modules", "block 1 of .* is str"),
        ("wrong_classes", r"head 1 of .* gives \(1, 7\) for one item"),
        ("wrong_channels", r"block 2 of .* failed on torch.float32 \(1, 4, 32, 32\)"),
        ("two_outputs", "block 1 of .* returned tuple"),
        ("raises", r"raises\(\) failed: RuntimeError: weights server is down$"),
        ("other_items", r"takes items \(3, 32, 32\), the data set has \(1, 32, 32\)"),
        ("no_function", "has no function 'no_function'"),
        ("absent", "has no function 'absent'"),
    ],
)
def test_what_is_wrong_with_a_users_function_is_one_line(name: str, line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        load_network(f"{USERS}:{name}")
    [problem] = caught.value.problems
    assert "\n" not in str(problem)
    assert problem.where == "model.name"


def test_a_module_that_does_not_exist_or_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="cannot import 'no_such_module'"):
        load_network("no_such_module:f")
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="failed at import: ZeroDivisionError"):
        load_network("broken_module:f")


def test_a_module_in_the_working_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside_config.py").write_text(f"from {USERS} import good\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [p for p in __import__("sys").path if p])
    assert load_network("beside_config:good").exits == 2


def test_a_users_network_takes_weights_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    name = f"{USERS}:good"
    original = build_network(name, "digits")
    save_weights(path, original, {})
    loaded = load_network(name, str(path))
    item = torch.zeros(1, *original.input_shape, dtype=torch.uint8)
    with torch.inference_mode():
        mine, theirs = original.blocks[0].eval()(item), loaded.blocks[0](item)
    torch.testing.assert_close(theirs, mine, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mobilenet-v2", 'did you mean "mobilenetv2"'), ("xyz", "known: digits-cnn")],
)
def test_an_unknown_network_gets_a_hint(name: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        network_info(ModelSection(name=name))


def test_a_network_and_data_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match=r"'mobilenetv2' takes items \(3, 32, 32\), 'digits' has"):
        network_info(ModelSection(name="mobilenetv2", dataset="digits"))


def test_a_network_without_weights_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "BESIDE", tmp_path)  # as where the wheel alone is installed
    with pytest.raises(UserError, match="mdibench train resnet50"):
        load_network("resnet50", dataset="cifar10")
