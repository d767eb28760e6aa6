"""The commands that need no cloud, run as programs are."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.template.reading_aids import VM

from gilder import __version__
from gilder.cli import places
from gilder.cli.gc import GcOptions
from gilder.cli.main import _told as told
from gilder.cli.places import Places
from gilder.cli.templates import TemplateFile, Templates
from gilder.model.errors import UserError
from gilder.runtime.journal import DEFAULT_PATH, opened
from gilder.template import Inputs
from gilder.template.azure_chroot import SHAPE

IMAGE = (
    "/subscriptions/{{vm `subscription_id`}}/resourceGroups/{{vm `resource_group`}}/providers/Microsoft.Compute/images/"
)


def template(folder: Path, *names: str, file: str = "t.json", **more: Any) -> str:
    builders = [
        {
            "type": "azure-chroot",
            "name": name,
            "source": "Debian:debian-13:13-gen2:latest",
            "image_resource_id": f"{IMAGE}{name}",
        }
        for name in names
    ]
    path = folder / file
    path.write_text(json.dumps({"builders": builders, **more}, indent=1))
    return str(path)


def gilder(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gilder", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def test_only_that_matches_nothing_fails_and_suggests(tmp_path: Path) -> None:
    done = gilder("validate", "-only=debain-13", template(tmp_path, "debian-12", "debian-13"))
    assert done.returncode == 1
    assert 'no build matches "debain-13"' in done.stderr
    assert 'did you mean "debian-13"?' in done.stderr


def test_only_and_except_choose_by_glob(tmp_path: Path) -> None:
    file = template(tmp_path, "debian-12", "debian-13", "ubuntu")
    done = gilder("inspect", "-machine-readable", "-only=debian-*", "-except", "debian-12", file)
    assert done.returncode == 0
    assert [line.split(",")[2:] for line in done.stdout.splitlines()] == [
        ["template-builder", "debian-13", "azure-chroot"]
    ]


def test_a_mistake_of_what_is_not_chosen_is_a_warning(tmp_path: Path) -> None:
    good, bad = template(tmp_path, "good", file="a.json"), tmp_path / "b.json"
    bad.write_text(Path(template(tmp_path, "bad", file="b.json")).read_text().replace('"source"', '"sorce"'))
    done = gilder("validate", "-only=good", good, str(bad))
    assert done.returncode == 0
    assert f"{bad}:6:4: warning: azure-chroot: there is no option 'sorce'" in done.stderr
    for words in ([], ["-only=bad"], ["-except=good"]):
        assert gilder("validate", *words, good, str(bad)).returncode == 1


def test_one_builder_of_a_template_for_several_programs(tmp_path: Path) -> None:
    file = Path(template(tmp_path, "chroot", provisioners=[{"type": "shell", "inline": ["x"], "only": ["arm"]}]))
    mixed = json.loads(file.read_text())
    mixed["builders"].append({"type": "azure-arm", "name": "arm"})
    file.write_text(json.dumps(mixed))
    done = gilder("inspect", "-machine-readable", "-only=chroot", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(",")[3] for line in done.stdout.splitlines()] == ["chroot"]
    assert gilder("validate", str(file)).returncode == 1
    typo = gilder("validate", "-only=chrot", str(file))
    assert typo.returncode == 1
    assert 'did you mean "chroot"?' in typo.stderr


def test_a_directory_holds_templates_and_other_files(tmp_path: Path) -> None:
    template(tmp_path, "a", file="a.json")
    template(tmp_path, "b", file="b.json")
    (tmp_path / "vars.json").write_text('{"region": "x"}')
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    (tmp_path / "notes.txt").write_text("builders")
    (tmp_path / "c.pkr.hcl").write_text("")
    (tmp_path / "d.pkr.json").write_text('{"builders": []}')
    done = gilder("inspect", "-machine-readable", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert [line.split(",")[3] for line in done.stdout.splitlines()] == ["a", "b"]
    assert "vars.json: not a template, passed over" in done.stderr
    assert "compose.yaml: not a template, passed over" in done.stderr
    assert "c.pkr.hcl: HCL2, which gilder does not read, passed over" in done.stderr
    assert "d.pkr.json: HCL2, which gilder does not read, passed over" in done.stderr


def test_a_broken_template_in_a_directory_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"builders": [}')
    done = gilder("validate", str(tmp_path))
    assert done.returncode == 1
    assert "a.json:1:" in done.stderr


def test_a_template_that_is_given_twice_is_told_as_that(tmp_path: Path) -> None:
    """And not as many builds of one name, for which another name would be no remedy."""
    template(tmp_path, "a", file="a.json")
    done = gilder("validate", str(tmp_path), str(tmp_path / "a.json"))
    assert done.returncode == 2
    assert "the template a.json is given twice" in done.stderr
    assert "several builds" not in done.stderr


def test_a_directory_without_templates_is_wrong_usage(tmp_path: Path) -> None:
    done = gilder("validate", str(tmp_path))
    assert done.returncode == 2
    assert "there is no template in the directory" in done.stderr


def test_a_check_of_the_syntax_alone(tmp_path: Path) -> None:
    file = template(tmp_path, "a", variables={"must": None}, provisioners=[{"type": "shell", "script": "/nowhere"}])
    done = gilder("validate", "-syntax-only", "-only=whatever", file)
    assert (done.returncode, done.stdout) == (0, "Syntax-only check passed. Everything looks okay.\n")
    assert gilder("validate", file).returncode == 1
    (tmp_path / "b.json").write_text('{"builders": [{}], "bogus": 1}')
    done = gilder("validate", "-syntax-only", str(tmp_path / "b.json"))
    assert done.returncode == 1
    assert "a builder without a type" in done.stderr
    assert "bogus" in done.stderr


def test_one_name_in_two_files_is_refused(tmp_path: Path) -> None:
    done = gilder("validate", template(tmp_path, "a", file="a.json"), template(tmp_path, "a", file="b.json"))
    assert done.returncode == 1
    assert 'several builds are called "a"' in done.stderr


def test_builds_that_log_in_in_different_ways_are_told_by_validate(tmp_path: Path) -> None:
    file = Path(template(tmp_path, "a", "b"))
    file.write_text(file.read_text().replace('"name": "a"', '"name": "a", "object_id": "x"'))
    done = gilder("validate", str(file))
    assert done.returncode == 1
    assert f"{file}:5:30: error: object_id: the builds a and b log in in different ways" in done.stderr
    assert gilder("validate", "-only=b", str(file)).returncode == 0


def test_one_destination_in_two_files_is_refused(tmp_path: Path) -> None:
    first = template(tmp_path, "a", file="a.json")
    second = tmp_path / "b.json"
    second.write_text(Path(first).read_text().replace('"name": "a"', '"name": "b"'))
    done = gilder("validate", first, str(second))
    assert done.returncode == 1
    assert "would both make" in done.stderr
    assert gilder("validate", "-only=a", first, str(second)).returncode == 0


@pytest.mark.parametrize("name", ["", " "])
def test_a_resource_group_without_a_name_is_wrong_usage(name: str) -> None:
    """Of a variable that a script had not set: Azure was asked for a path that it does not have, for five minutes."""
    done = gilder("gc", "--resource-group", name)
    assert done.returncode == 2
    assert "a resource group has a name" in done.stderr


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o600, False)])
def test_validate_warns_of_files_with_secrets_that_everybody_may_read(tmp_path: Path, mode: int, warned: bool) -> None:
    """Only a build did, when the file had been lying there for long."""
    key = tmp_path / "key.pem"
    key.write_text("")
    key.chmod(mode)
    login = {"client_id": "c", "client_cert_path": str(key), "tenant_id": "t"}
    (builder,) = json.loads(Path(template(tmp_path, "a")).read_text())["builders"]
    file = template(tmp_path, builders=[builder | login])
    done = gilder("validate", file)
    assert done.returncode == 0, done.stderr
    assert (f"warning: {key} (client_cert_path) can be read by every user" in done.stderr) is warned
    assert "client_cert_path" not in gilder("validate", "-syntax-only", file).stderr


def test_a_template_from_standard_input(tmp_path: Path) -> None:
    done = gilder("validate", "-", stdin=Path(template(tmp_path, "a")).read_text())
    assert done.returncode == 0, done.stderr


def test_a_warning_of_a_template_that_is_read_twice_is_printed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `gilder build` does: before it asks the VM, and knowing it."""
    file = Path(template(tmp_path, "a", push={}))
    templates = Templates((TemplateFile(str(file), file.read_text()),), Inputs())
    assert templates.report(templates.loaded()) == templates.report(templates.loaded(VM)) == 0
    assert capsys.readouterr().err.count("push is ignored") == 1


VARIABLES: dict[str, Any] = {"variables": {"region": "north", "key": "", "must": None}, "sensitive-variables": ["key"]}


def test_inspect_shows_where_values_come_from(tmp_path: Path) -> None:
    file = template(tmp_path, "web", **VARIABLES, description="All our images")
    (tmp_path / "vars.json").write_text('{"must": "given"}')
    done = gilder("inspect", "-var", "key=hunter2", "-var-file", str(tmp_path / "vars.json"), file)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "All our images"
    assert "  key     <sensitive>  (-var)" in lines
    assert f"  must    'given'  ({tmp_path}/vars.json)" in lines
    assert any(line.startswith(f"  region  'north'  (default, {file}:") for line in lines)
    assert any("Debian:debian-13:13-gen2:latest  (" in line and f"({file}:6)" in line for line in lines)
    assert "hunter2" not in done.stdout


def test_inspect_needs_no_values_of_variables(tmp_path: Path) -> None:
    rescue: dict[str, Any] = {"error-cleanup-provisioner": {"type": "sleep", "duration": "1s"}}
    file = template(tmp_path, "web-{{user `must`}}", **(VARIABLES | rescue))
    done = gilder("inspect", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  must    (required, not set)" in done.stdout
    assert "  web-{{user `must`}}\n" in done.stdout
    assert f"/images/web-{{{{user `must`}}}}  ({file}:7)" in done.stdout
    assert "    error-cleanup-provisioner\n      sleep: duration=1.0\n" in done.stdout
    assert gilder("validate", file).returncode == 1


def test_inspect_shows_defaults_where_it_is_asked_to(tmp_path: Path) -> None:
    file = template(tmp_path, "web")
    told = gilder("inspect", "-defaults", file).stdout
    assert "  /etc/resolv.conf  (default)" in told
    for option in SHAPE.options:
        assert f"    {option} " in told, option


def test_inspect_prints_what_is_no_text(tmp_path: Path) -> None:
    file = template(tmp_path, "web", variables={"v": ""}, provisioners=[])
    Path(file).write_text(Path(file).read_text().replace('"name"', '"tags": {"t": "{{user `v`}}"}, "name"'))
    done = gilder("inspect", "-var", "v=\udcff", file)
    assert done.returncode == 0, done.stderr
    assert "t=\\udcff" in done.stdout


MATRIX = """
name: "{{ .Matrix.distro.name }}-{{ .Matrix.flavour }}"
variables: {key: {default: hunter2-and-more, sensitive: true}}
matrix:
  distro: [{name: deb-12, source: "p:o:s:12", where: /subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/g}]
  flavour: [plain, tools]
  include: [{flavour: tools, size: 30}]
defaults:
  source: "{{ .Matrix.distro.source }}"
  image_resource_id: "{{ .Matrix.distro.where }}/providers/Microsoft.Compute/images/{{ build_name }}"
  provisioners: [base]
  error_cleanup_provisioner: {type: shell, inline: [dmesg]}
overrides:
  - match: {flavour: tools}
    provisioners: [base, {type: sleep, duration: 1m}]
    post_processors: [[{type: manifest}, {type: shell-local, inline: [ls]}]]
provisioners:
  base: [{type: shell, inline: ["use hunter2-and-more", "a\\nb"], env: {A: "1"}}]
"""


def test_inspect_shows_the_cell_of_each_build_and_what_is_done(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MATRIX)
    done = gilder("inspect", str(tmp_path / "m.yaml"))
    assert done.returncode == 0, done.stderr
    plain, tools = done.stdout.split("Builds:\n  deb-12-plain\n")[1].split("  deb-12-tools\n")
    assert plain.splitlines()[0].split() == ["matrix", "distro=deb-12,", "flavour=plain"]
    assert tools.splitlines()[0].split() == ["matrix", "distro=deb-12,", "flavour=tools,", "size=30"]
    assert plain.split("    provisioners\n")[1].splitlines() == [
        "      shell: inline=use <sensitive>; a\\nb, env=A=1",
        "    error-cleanup-provisioner",
        "      shell: inline=dmesg",
    ]
    assert "      sleep: duration=60.0\n" in tools
    assert "    post-processors\n      manifest → shell-local: inline=ls\n" in tools


def test_inspect_for_machines_is_as_packers(tmp_path: Path) -> None:
    file = template(tmp_path, "web", **VARIABLES, provisioners=[{"type": "shell", "inline": ["true"]}])
    done = gilder("inspect", "-machine-readable", "-var", "must=x", "-var", "more=x", file)
    found = [line.split(",")[2:] for line in done.stdout.splitlines()]
    assert ["template-variable", "must", "", "1"] in found, "it is required, whether it is given or not"
    assert ["template-variable", "more", "", "0"] in found
    assert ["template-variable", "region", "north", "0"] in found
    assert ["template-variable", "key", "<sensitive>", "0"] in found
    assert ["template-provisioner", "shell"] in found


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("dashes", ["-", "--"])
def test_output_for_machines_may_be_asked_for_anywhere(tmp_path: Path, place: int, dashes: str) -> None:
    def told(*words: str) -> tuple[int, list[list[str]]]:
        command = [*words[:place], f"{dashes}machine-readable", *words[place:]]
        done = gilder(*command)
        return done.returncode, [line.split(",")[2:] for line in done.stdout.splitlines()]

    good, bad = template(tmp_path, "a"), template(tmp_path, "a", file="b.json", bogus=1)
    assert told("validate", good) == (0, [["ui", "say", "The configuration is valid."]])
    assert told("inspect", good) == (0, [["template-builder", "a", "azure-chroot"]])
    status, ((*kind, text),) = told("validate", bad)
    assert (status, kind) == (1, ["ui", "error"])
    assert "Unknown root level key in template: 'bogus'\\n" in text
    assert told("version")[1][0] == ["version", __version__]


@pytest.mark.parametrize("words", ["-v", "-version", "--version", "version"])
def test_the_version_is_told_whichever_way_it_is_asked_for(words: str) -> None:
    assert gilder(words).stdout == f"gilder {__version__}\n"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("-debug", "-debug needs a terminal"),
        ("-on-error=nonsense", "nonsense"),
        ("-color=perhaps", "neither true nor false"),
    ],
)
def test_what_cannot_work_is_refused_rather_than_ignored(tmp_path: Path, option: str, words: str) -> None:
    done = gilder("build", option, template(tmp_path, "a"))
    assert done.returncode == 2
    assert words in done.stderr


def test_init_does_nothing_whatever_it_is_given() -> None:
    done = gilder("init", "-upgrade", "somewhere")
    assert done.returncode == 0
    assert "nothing to install" in done.stderr


@pytest.mark.parametrize("word", ["-h", "-help", "--help"])
def test_help_teaches(word: str) -> None:
    done = gilder("build", word)
    assert done.returncode == 0
    for text in ("Examples:", "-color=false", "--only", "Ctrl-C", "2 for wrong"):
        assert text in done.stdout


def test_the_schema_is_json() -> None:
    assert json.loads(gilder("schema").stdout)["$schema"].startswith("https://json-schema.org/")


def test_places_are_the_same_as_where_things_are_kept() -> None:
    """They stand twice only because the modules that own them are slow to import."""
    assert places.JOURNAL == DEFAULT_PATH


def test_a_command_that_is_named_leads_to_the_same_cloud_and_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """`gilder recover RUN` was named alone, and found no such run."""
    monkeypatch.chdir("/tmp")
    local = Places(Path("j"), "local", Path("/a state"))
    assert Places().command("recover", "r") == "gilder recover r"
    assert Places(cloud="local").command("gc", "--yes") == "gilder gc --cloud local --yes"
    assert local.command("recover") == "gilder recover --cloud local --cloud-state '/a state' --journal /tmp/j"
    assert local.command("runs") == "gilder runs --journal /tmp/j"
    options = GcOptions("s", ("a", "b"), local, yes=False)
    where = "--cloud local --cloud-state '/a state' --journal /tmp/j --resource-group a --resource-group b"
    assert options.again() == f"gilder gc {where} --subscription s --yes"


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("-deadline=soon", '"soon" is not a duration'),
        ("-deadline=0s", "longer than nothing"),
        ("-stage-deadline=30m", "is not STAGE=DURATION"),
        ("-stage-deadline=unmount=30m", 'there is no stage "unmount"'),
    ],
)
def test_deadlines_that_make_no_sense_are_wrong_usage(tmp_path: Path, option: str, error: str) -> None:
    done = gilder("build", option, template(tmp_path, "one"))
    assert done.returncode == 2
    assert error in done.stderr


@pytest.mark.parametrize(("typed", "told"), [("bild", "Did you mean build?"), ("timline", "Did you mean timeline?")])
def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(typed: str, told: str) -> None:
    done = gilder(typed)
    assert done.returncode == 2
    assert told in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_is_full_is_told_without_a_traceback(unbuffered: str) -> None:
    command = [sys.executable, "-m", "gilder", "schema"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False, env=environment
        )
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


def test_a_full_disk_is_told_also_when_it_comes_with_other_errors(capsys: pytest.CaptureFixture[str]) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/run/gilder/runs/x")
    assert told(ExceptionGroup("several", [full])) == 1
    assert told(ExceptionGroup("several", [full, UserError("no such file")])) == 2
    assert capsys.readouterr().err == "error: /run/gilder/runs/x: No space left on device\nerror: no such file\n"
    with pytest.raises(OSError, match="pipe"):
        told(OSError(errno.EPIPE, "pipe"))


@pytest.mark.parametrize("option", ["--journal", "--log-dir", "--cloud-state"])
def test_an_empty_path_is_wrong_usage(tmp_path: Path, option: str) -> None:
    """Pathlib makes the working directory of it, and `--journal ''` ended with a traceback."""
    done = gilder("doctor", option, "", template(tmp_path, "one"))
    assert (done.returncode, "the path is empty" in done.stderr) == (2, True)


def test_an_empty_name_is_no_template(tmp_path: Path) -> None:
    """It was the working directory."""
    done = gilder("validate", "")
    assert (done.returncode, done.stderr) == (2, "error: the name of a file is empty\n")
    assert gilder("validate", "-var-file=", template(tmp_path, "one")).stderr == done.stderr


WITHOUT = """
import os, subprocess, sys
from gilder.cli.asking import has_terminal
from gilder.cli.descriptors import standard_ones_there
from gilder.cli.outlet import outlet
from gilder.cli.terminal import is_live

standard_ones_there()
with open(sys.argv[1], "w") as journal:
    assert journal.fileno() > 2, journal.fileno()
    for stream in (sys.stdout, sys.stderr):
        assert not is_live(stream)
        with outlet(stream) as (echo, flush):
            echo("progress")
    assert not has_terminal()
    assert sys.stdin.read() == ""
    subprocess.run(["sh", "-c", "echo told; echo told >&2; read line; test -e /proc/self/fd/0"], check=True)
    journal.write("done")
"""


@pytest.mark.parametrize("closed", ["<&-", ">&- </dev/null", "2>&- </dev/null", "<&- >&- 2>&-"])
def test_what_a_build_needs_of_standard_streams_is_there_although_they_are_closed(tmp_path: Path, closed: str) -> None:
    """The journal got the number of what was closed, and so whatever programs print there."""
    file = tmp_path / "journal"
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", WITHOUT, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, file.read_text()) == (0, "done"), done.stderr


def test_a_build_without_standard_input_is_not_ended_by_that(tmp_path: Path) -> None:
    """Looking for a terminal ended with a traceback."""
    command = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "gilder", "build", "-debug"]
    command.append(template(tmp_path, "one"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "-debug needs a terminal" in done.stderr) == (2, True), done.stderr


ORDINARY_USER = """
import os, sys
import click
import gilder.cli.earlier, gilder.cli.examination, gilder.cli.record, gilder.cli.session
from gilder.cli.main import LazyGroup, gilder
from gilder.model.errors import GilderError

commands = {name: gilder.get_command(None, name) for name in LazyGroup.modules}
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
journal, template = sys.argv[1:]
for name in ("build", "doctor", "runs", "show", "timeline", "recover", "gc"):
    words = [name, "--journal", journal, *[template] * (name == "build")]
    try:
        if name in ("doctor", "gc"):  # these look for the cloud first
            commands[name].make_context(name, words[1:]).close()
        else:
            gilder.main(words, standalone_mode=False)
        print(name, "goes on")
    except (GilderError, click.ClickException) as error:
        print(name, type(error).__name__, error.message, getattr(error, "hint", ""))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_an_ordinary_user_is_not_told_of_a_wrong_option_where_roots_journal_is() -> None:
    """Click said of `--journal` that the file is not readable, and `gilder doctor` not even that root is missing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        journal, file = folder / "journal.sqlite", Path(template(folder, "one"))
        anyio.run(_made, journal)
        file.chmod(0o644)
        command = [sys.executable, "-c", ORDINARY_USER, str(journal), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert "gilder build must run as root" in told["build"]
    assert (told["doctor"], told["gc"]) == ("goes on", "goes on")
    for command_name in ("runs", "show", "timeline"):
        assert "only root and its group may read it (sudo gilder …)" in told[command_name]
    assert told["recover"].startswith("Refused ")
    assert "be root" in told["recover"]


async def _made(journal: Path) -> None:
    async with opened(journal) as book:
        await book.run_started("run", "/vm", "t.json")
