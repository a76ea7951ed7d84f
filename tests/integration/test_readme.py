"""What the README and the examples say works as written."""

import json
import pathlib
import re
import subprocess

import pytest

from harness import BUILD, PATIENCE, config, expert, run_frugald, scripts
from harness.documents import marked, run_shell

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = marked(README)
EXAMPLES = sorted(path.name for path in (ROOT / "config").glob("*.json") if "schema" not in path.name
                  and "dashboard" not in path.name)


def test_the_readme_has_examples_to_run():
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("n", range(len(BLOCKS)))
def test_an_example_of_the_readme_runs(run, n):
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer("It is 391.")))}))
    ran = run_shell(BLOCKS[n], env={"GATEWAY_URL": f"http://127.0.0.1:{gateway.port}"})
    assert ran.returncode == 0, ran.err
    assert "391" in ran.out if "/v1/route" not in BLOCKS[n] else "small" in ran.out, ran.out
    assert gateway.log.wait(event="request")["result"] == "ok"


def test_the_commands_for_keys_of_the_readme_run_in_a_clone(tmp_path):
    section = README.split("\n## Keys and budgets\n")[1].split("\n## ")[0]
    commands = re.findall(r"^    (\S*frugalctl .*)$", section, re.M)
    commands += [command.replace(" ID ", " team-b ") for command in re.findall(r"`(\S*frugalctl [^`]* >>[^`]*)`", section)]
    assert len(commands) >= 6
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "release").symlink_to(BUILD)
    for command in commands:
        ran = subprocess.run(["bash", "-euc", command], capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path,
                             stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin"})
        assert ran.returncode == 0, f"{command}: {ran.stderr}"
    assert "id=team-b" in (tmp_path / "keys.txt").read_text()


def test_the_first_configuration_of_the_readme_is_good():
    block = re.search(r"^```json\n(.*?)^```$", README, re.M | re.S)[1]
    ran = run_frugald("--check-config", config=block, env={"OPENAI_API_KEY": "sk-any"})
    assert ran.returncode == 0, ran.err


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_configuration_is_good(name):
    secrets = {variable: "sk-any" for variable in re.findall(r'"env": "(\w+)"', (ROOT / "config" / name).read_text())}
    ran = run_frugald("--config", ROOT / "config" / name, "--check-config", env=secrets)
    assert ran.returncode == 0, ran.err


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_configuration_serves(run, name):
    text = (ROOT / "config" / name).read_text()
    secrets = {variable: "sk-any" for variable in re.findall(r'"env": "(\w+)"', text)}
    whole = json.loads(text)
    whole["listen"] = whole["admin"] = "127.0.0.1:0"
    whole.pop("bundle", None)
    for entry in whole["experts"].values():
        entry["endpoints"] = [run.expert(scripts.answer()).url]
        if "file" in entry.get("key", {}):
            entry["key"] = {"env": "ANY_KEY"}
    gateway = run.gateway(whole, env={**secrets, "ANY_KEY": "sk-any"})
    assert gateway.chat(model=next(iter(whole.get("policies", ["auto"])))).status == 200
