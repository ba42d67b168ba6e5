"""Rules of one's own: scaffolded, proved, used by every command, refused with file and line, and their checks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cfaudit.checks import CHECKS
from cfaudit.proof import prove, snippet_problem
from cfaudit.render import RENDERERS
from cfaudit.rule import RuleError, load_rules
from cfaudit.rulebook import rulebook
from cfaudit.scaffold import FAIL, PASS, RULE
from stacks import ROOT

sys.path.append(str(ROOT / "scripts"))

WRITTEN = RULE.format(title="Loose tables")
ID = "loose-tables"


def cfaudit(*arguments: str | Path, cwd: Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    held = {**os.environ, "PYTHONPATH": path} if path else dict(os.environ)
    return subprocess.run(
        [sys.executable, "-m", "cfaudit", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=held,
    )


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A directory with one proved rule, and a template with its gap in two tables."""
    write(
        tmp_path,
        {
            f"rules/security/{ID}.yaml": WRITTEN,
            f"fixtures/rules/{ID}/pass.yaml": PASS,
            f"fixtures/rules/{ID}/fail.yaml": FAIL,
            "stack.yaml": FAIL,
        },
    )
    return tmp_path


# cfaudit rules new ---------------------------------------------------------------------------------------------------


def test_a_new_rule_runs_in_every_category_and_overwrites_nothing(tmp_path: Path) -> None:
    done = cfaudit("rules", "new", ID, "--category", "documentation", "--dir", "company/policies", cwd=tmp_path)
    assert done.returncode == 0
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.yaml"))
    assert written == [
        f"company/fixtures/policies/{ID}/fail.yaml",
        f"company/fixtures/policies/{ID}/pass.yaml",
        f"company/policies/documentation/{ID}.yaml",
    ]
    done = cfaudit("rules", "test", "company/policies", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "1 rule, 2 fixtures: everything holds\n")
    (tmp_path / "company/policies/documentation" / f"{ID}.yaml").unlink()
    fixture = tmp_path / f"company/fixtures/policies/{ID}/fail.yaml"
    fixture.write_text("mine", encoding="utf-8")
    done = cfaudit("rules", "new", ID, "--category", "documentation", "--dir", "company/policies", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is there already; nothing was written" in done.stderr
    assert fixture.read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "company/policies/documentation" / f"{ID}.yaml").exists()


@pytest.mark.parametrize(
    ("name", "category", "said"),
    [
        (ID, "securty", "did you mean 'security'?"),
        ("no-mfa", "security", "there is a rule 'no-mfa' already: a built-in rule"),
        ("security", "security", "'security' is a category"),
        ("Loose_Tables", "security", "'Loose_Tables' is no name of a rule"),
        ("../loose", "security", "is no name of a rule"),
    ],
)
def test_a_new_rule_needs_a_name_and_a_category(tmp_path: Path, name: str, category: str, said: str) -> None:
    done = cfaudit("rules", "new", name, "--category", category, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


# cfaudit rules test --------------------------------------------------------------------------------------------------


def test_the_built_in_rules_are_proved_by_the_same_code() -> None:
    proof = prove(str(ROOT / "rules"))
    assert proof.problems == ()
    assert proof.rules == len(load_rules(CHECKS))


def test_what_a_fixture_disproves_is_one_line_with_lines(own: Path) -> None:
    folder = own / "fixtures/rules" / ID
    (folder / "fail.yaml").write_text(FAIL.replace("Baskets: # gap", "Baskets:"), encoding="utf-8")
    (folder / "pass.yaml").write_text("Resources: {A: {Type: AWS::SNS::Topic}}\n", encoding="utf-8")
    (folder / "na.yaml").write_text(PASS, encoding="utf-8")
    done = cfaudit("rules", "test", "rules", cwd=own)
    assert done.returncode == 1
    assert done.stdout == (
        f"fixtures/rules/{ID}/fail.yaml: expected fail on line 9; got fail on lines 9, 10: fail line 9 (Orders has no "
        "deletion protection); fail line 10 (Baskets has no deletion protection)\n"
        f"fixtures/rules/{ID}/na.yaml: expected n/a; got pass: pass line 9 (Orders has deletion protection)\n"
        f"fixtures/rules/{ID}/pass.yaml: expected pass; got n/a: the template has nothing that the rule asks about\n"
        "1 rule, 3 fixtures: 3 problems\n"
    )


def test_marks_beside_a_template_folders_and_arguments_are_read(own: Path) -> None:
    name = f"fixtures/rules/{ID}"
    stack = PASS.replace("DeletionProtectionEnabled: true", "DeletionProtectionEnabled: !Ref Kept")
    parameter = "Parameters: {Kept: {Type: String}}\n"
    write(
        own,
        {
            f"{name}/unknown.yaml": parameter + stack,
            f"{name}/pass-told.yaml": f"# args: --param Kept=true\n{parameter}{stack}",
            f"{name}/fail-json.json": '{"Resources": {\n"A": {"Type": "AWS::DynamoDB::Table", "Properties": {}}}}',
            f"{name}/fail-json.gaps": "# gaps: 2\n",
            f"{name}/fail-waived/template.yaml": FAIL,
            f"{name}/fail-waived/cfaudit.yaml": "waivers: [{rule: loose-tables, reason: x, resource: Nothing}]\n",
        },
    )
    done = cfaudit("rules", "test", "rules", cwd=own)
    assert (done.returncode, done.stdout) == (0, "1 rule, 6 fixtures: everything holds\n")


@pytest.mark.parametrize(
    ("files", "said", "unusable"),
    [
        ({f"fixtures/rules/{ID}/bad.yaml": PASS}, "its name begins with none of pass, fail", True),
        ({f"fixtures/rules/{ID}/pass-x.yaml": "a: 1"}, f"fixtures/rules/{ID}/pass-x.yaml:1:1: ", True),
        ({f"fixtures/rules/{ID}/pass-x/readme.txt": "x"}, "holds no template.yaml", True),
        ({f"fixtures/rules/{ID}/pass-x.yaml": f"# args: --parm A=b\n{PASS}"}, "cannot be read: unrecognized", True),
        ({f"fixtures/rules/{ID}/pass-x.yaml": f"# args: --as-of 'x\n{PASS}"}, "cannot be read: No closing", True),
        ({"fixtures/rules/another/pass.yaml": PASS}, "there is no rule 'another'", True),
        (
            {"rules/security/unproved.yaml": WRITTEN},
            "rules/security/unproved.yaml: no fixture proves that it can pass: write fixtures/rules/unproved/pass.yaml",
            False,
        ),
        (
            {f"rules/security/{ID}.yaml": WRITTEN.replace("Type: AWS::DynamoDB::Table", "Tpye: x")},
            f"rules/security/{ID}.yaml: the snippet of remedy 1 has no Type for OrdersTable",
            False,
        ),
    ],
)
def test_what_is_not_proved_or_cannot_be_tried(
    own: Path, monkeypatch: pytest.MonkeyPatch, files: Mapping[str, str], said: str, unusable: bool
) -> None:
    write(own, files)
    monkeypatch.chdir(own)
    rulebook.cache_clear()
    (problem, *_) = prove("rules").problems
    assert said in f"{problem.place}: {problem.message}"
    assert problem.unusable is unusable


def test_a_fixture_that_cannot_be_tried_is_unusable_input(own: Path) -> None:
    write(own, {f"fixtures/rules/{ID}/bad.yaml": PASS})
    done = cfaudit("rules", "test", "rules", cwd=own)
    assert done.stdout.endswith("1 rule, 3 fixtures: 1 problem\n")
    assert (done.returncode, done.stderr) == (2, "")


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", "does not parse, in its line"), ("- a", "is no map"), ("{}", "is no map"), ("a: b", "no Type for a")],
)
def test_snippets_parse(text: str, said: str) -> None:
    assert said in (snippet_problem(text) or "")


# Rules beside the built-in ones --------------------------------------------------------------------------------------


def test_every_command_knows_them(own: Path) -> None:
    listed = cfaudit("rules", "list", "Loose", "--rules", "rules", cwd=own)
    assert f"  {ID}  medium    Tables have deletion protection" in listed.stdout
    page = cfaudit("explain", ID, "--rules", "rules", cwd=own).stdout
    assert page.startswith("# Loose tables\n")
    assert f"`fixtures/rules/{ID}/fail.yaml`" in page
    assert cfaudit("graph", "stack.yaml", "--rules", "rules", cwd=own).returncode == 0
    assert "rules_dirs  rules" in cfaudit("config", "--rules", "rules", cwd=own).stdout
    for arguments in (["explain", ID], ["check", "stack.yaml", "--select", ID]):
        assert cfaudit(*arguments, cwd=own).returncode == 2


def test_every_report_holds_them(own: Path) -> None:
    outputs = [word for form in RENDERERS for word in ("-o", f"{form}=report.{form}")]
    done = cfaudit("check", "stack.yaml", "--rules", "rules", "--select", ID, *outputs, cwd=own)
    assert (done.returncode, done.stderr) == (0, "")
    for form in RENDERERS:
        assert ID in (own / f"report.{form}").read_text(encoding="utf-8"), form


def findings(done: subprocess.CompletedProcess[str], rule: str = ID) -> list[tuple[str, str]]:
    (template,) = json.loads(done.stdout)["templates"]
    return [(held["verdict"], held["subject"]) for held in template["findings"] if held["rule"] == rule]


def test_the_configuration_names_grades_and_waives_them(own: Path) -> None:
    write(
        own,
        {
            "conf/cfaudit.yaml": "rules_dirs: [../rules]\nrules: {loose-tables: critical}\n"
            "waivers: [{rule: loose-tables, resource: Baskets, reason: a demo}]\n",
            "conf/stack.yaml": FAIL.replace(
                "  Orders:\n", "  # cfaudit: ignore[loose-tables] kept elsewhere\n  Orders:\n"
            ),
        },
    )
    done = cfaudit("check", "conf/stack.yaml", "-f", "json", "--select", ID, "--rules", "rules", cwd=own)
    assert findings(done) == [("waived", "Orders"), ("waived", "Baskets")]
    assert done.returncode == 0
    done = cfaudit("check", "stack.yaml", "conf/stack.yaml", "--no-waivers", "--select", ID, cwd=own)
    assert done.returncode == 1
    told = [line.split() for line in cfaudit("config", "conf/stack.yaml", cwd=own).stdout.splitlines()]
    assert [f"rules.{ID}", "critical", "conf/cfaudit.yaml:2:9"] in told
    assert ["rules_dirs", "rules", "conf/cfaudit.yaml:1:1"] in told
    assert cfaudit("explain", ID, cwd=own / "conf").returncode == 0


def test_a_profile_names_them(own: Path) -> None:
    profile = "title: Ours\nextends: serverless\nrules: {loose-tables: high, recovery-off: off}\nfail_on: high\n"
    write(own, {"ours.yaml": profile + "requirements: {loose-tables: Tables stay.}\n"})
    done = cfaudit("check", "stack.yaml", "-f", "json", "--rules", "rules", "--profile", "./ours.yaml", cwd=own)
    assert done.returncode == 1
    (template,) = json.loads(done.stdout)["templates"]
    told = {(held["severity"], held["requirement"]) for held in template["findings"] if held["rule"] == ID}
    assert told == {("high", "Tables stay.")}
    write(own, {"theirs.yaml": "title: Theirs\nwithout: [loose-tables]\n"})
    done = cfaudit("check", "stack.yaml", "-f", "json", "--rules", "rules", "--profile", "./theirs.yaml", cwd=own)
    assert findings(done) == []


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"rules/security/no-mfa.yaml": WRITTEN}, "rules/security/no-mfa.yaml:1: there is a rule 'no-mfa' already"),
        (
            {f"rules/documentation/{ID}.yaml": WRITTEN},
            f"rules/security/{ID}.yaml:1: there is a rule {ID!r} already: rules/documentation/{ID}.yaml",
        ),
        (
            {"rules/security/x.yaml": WRITTEN + "aliases: [no-mfa]\n"},
            f"rules/security/x.yaml:{WRITTEN.count(chr(10)) + 1}: there is a rule 'no-mfa' already",
        ),
        (
            {"rules/security/x.yaml": WRITTEN + "component: usage-plan\n"},
            f"rules/security/x.yaml:{WRITTEN.count(chr(10)) + 1}: the rule 'missing-usage-plan' decides the component",
        ),
        ({"rules/security/My rule.yaml": WRITTEN}, "rules/security/My rule.yaml:1: 'My rule' is no name"),
        ({"rules/securty/x.yaml": WRITTEN}, "rules/securty/x.yaml:1: there is no category 'securty'; did you mean"),
        ({"rules/security/x.yml": WRITTEN}, "rules/security/x.yml:1: a rule stands in the folder of its category"),
        ({"rules/x.yaml": WRITTEN}, "rules/x.yaml:1: a rule stands in the folder"),
        (
            {"rules/security/x.yaml": WRITTEN.replace("severity:", "severty:")},
            "rules/security/x.yaml:4: 'severty' is no",
        ),
        (
            {"rules/security/x.yaml": WRITTEN.replace("check: setting", "check: sett")},
            "there is no check 'sett'; did you",
        ),
        ({"rules/security/x.yaml": "[1"}, "rules/security/x.yaml:1: "),
    ],
)
def test_a_malformed_rule_names_file_and_line(
    own: Path, monkeypatch: pytest.MonkeyPatch, files: Mapping[str, str], said: str
) -> None:
    write(own, files)
    monkeypatch.chdir(own)
    rulebook.cache_clear()
    with pytest.raises(RuleError) as caught:
        rulebook(("rules",))
    assert said in f"{caught.value.path}:{caught.value.line}: {caught.value}"


def test_a_malformed_rule_is_the_users_mistake(own: Path) -> None:
    write(own, {"rules/security/no-mfa.yaml": WRITTEN})
    for arguments in (["check", "stack.yaml", "--rules", "rules"], ["rules", "test", "rules"]):
        done = cfaudit(*arguments, cwd=own)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("rules/security/no-mfa.yaml:1: there is a rule 'no-mfa' already")


def test_bytes_that_are_no_text_name_their_file(own: Path) -> None:
    (own / "rules/security/x.yaml").write_bytes(b"title: \xff\n")
    done = cfaudit("check", "stack.yaml", "--rules", "rules", cwd=own)
    assert (done.returncode, done.stderr) == (2, "rules/security/x.yaml:1: the file is not UTF-8 text\n")


def test_a_directory_without_rules_is_a_mistake(own: Path) -> None:
    for directory, said in (("rulse", "there is no such directory"), ("rules/security", "no rule is there")):
        done = cfaudit("check", "stack.yaml", "--rules", directory, cwd=own)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        write(own, {"conf/cfaudit.yaml": f"rules_dirs:\n  - ../{directory}\n", "conf/stack.yaml": FAIL})
        done = cfaudit("check", "conf/stack.yaml", cwd=own)
        assert done.returncode == 2
        assert done.stderr.startswith("conf/cfaudit.yaml:2:5: ")
        assert said in done.stderr


# Checks of installed packages ----------------------------------------------------------------------------------------

MODULE = '''
from __future__ import annotations
from cfaudit.finding import Finding, Outcome, judged

def good(template, facts, *, types: tuple[str, ...], least: int = 1):
    """Two of them."""
    for resource in template.of(*types):
        yield judged(Outcome.FAIL, resource, None, f"{resource.logical_id}, at least {least}")

def crash(template, facts):
    raise RuntimeError("out of order")
    yield

def nonsense(template, facts):
    yield "a finding"

def nothing(template, facts):
    return None

def textless(template, facts):
    for resource in template.of("AWS::DynamoDB::Table"):
        yield judged(Outcome.FAIL, resource, None, 7)

def open_ended(template, facts, **arguments): ...
def positional(template, facts, types): ...
def bare(template, facts, *, types): ...
def listed(template, facts, *, types: list[str]): ...
def setting(template, facts): ...
number = 7
'''
NAMES = ("good", "crash", "nonsense", "nothing", "textless", "open_ended", "positional", "bare", "listed", "number")


def package(folder: Path, module: str = MODULE, name: str = "acme_checks") -> None:
    """A package as pip leaves it: a module and its metadata."""
    entries = "".join(f"{entry} = {name}:{entry}\n" for entry in (*NAMES, "setting"))
    write(
        folder,
        {
            f"{name}.py": module,
            f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            f"{name}-1.0.dist-info/entry_points.txt": f"[cfaudit.checks]\nmissing = {name}:missing\n{entries}",
        },
    )


def asking(check: str, arguments: str = "{}") -> dict[str, str]:
    """A second rule, which asks a check of a package."""
    return {"rules/security/asking.yaml": f"{WRITTEN[: WRITTEN.index('check:')]}check: {check}\nwith: {arguments}\n"}


def test_an_installed_check_answers(own: Path) -> None:
    package(own / "site")
    write(own, asking("good", "{types: AWS::DynamoDB::Table, least: 2}"))
    done = cfaudit("check", "stack.yaml", "--rules", "rules", "-f", "json", cwd=own, path=str(own / "site"))
    assert findings(done, "asking") == [("fail", "Orders"), ("fail", "Baskets")]
    assert "Two of them." in cfaudit("explain", "asking", "--rules", "rules", cwd=own, path=str(own / "site")).stdout


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("crash", "RuntimeError: out of order (acme_checks.py:11)"),
        ("nonsense", "the check yields 'a finding', which is no Finding"),
        ("nothing", "TypeError: 'NoneType' object is not iterable"),
        ("textless", "whose outcome or texts are none"),
    ],
)
def test_a_check_that_breaks_is_an_error_of_its_rule_only(own: Path, check: str, said: str) -> None:
    package(own / "site")
    write(own, asking(check))
    done = cfaudit("check", "stack.yaml", "--rules", "rules", "-f", "json", cwd=own, path=str(own / "site"))
    assert (done.returncode, done.stderr) == (3, "")
    (template,) = json.loads(done.stdout)["templates"]
    errors = [held for held in template["findings"] if held["verdict"] == "error"]
    assert [held["rule"] for held in errors] == ["asking"]
    assert said in errors[0]["message"]
    assert findings(done) == [("fail", "Orders"), ("fail", "Baskets")]


@pytest.mark.parametrize(
    ("check", "arguments", "said"),
    [
        ("good", "{}", "the check 'good' needs 'types'"),
        ("good", "{types: x, most: 2}", "takes no 'most'; known are least, types"),
        ("good", "{types: x, least: two}", "'least' of the check 'good' is a int, not 'two'"),
        ("open_ended", "{}", "of acme_checks 1.0 does not take (template, facts, *, arguments)"),
        ("positional", "{}", "does not take (template, facts, *, arguments)"),
        ("bare", "{}", "does not say of what type 'types' is"),
        ("listed", "{}", "takes 'types' as list[str]; a rule can give str, bool"),
        ("number", "{}", "is a int, no plain function"),
        ("missing", "{}", "cannot be loaded: AttributeError"),
        ("goood", "{}", "there is no check 'goood'; did you mean 'good'?"),
    ],
)
def test_a_check_that_cannot_be_used_names_file_and_line(own: Path, check: str, arguments: str, said: str) -> None:
    package(own / "site")
    write(own, asking(check, arguments))
    done = cfaudit("check", "stack.yaml", "--rules", "rules", cwd=own, path=str(own / "site"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("rules/security/asking.yaml:")
    assert said in done.stderr


def test_a_package_that_cannot_be_imported_or_is_not_alone_is_told(own: Path) -> None:
    package(own / "site", "import nothing_of_the_kind")
    write(own, asking("good", "{types: x}"))
    done = cfaudit("check", "stack.yaml", "--rules", "rules", cwd=own, path=str(own / "site"))
    assert done.returncode == 2
    assert "cannot be loaded: ModuleNotFoundError: No module named 'nothing_of_the_kind'" in done.stderr
    package(own / "site", name="other_checks")
    done = cfaudit("check", "stack.yaml", "--rules", "rules", cwd=own, path=str(own / "site"))
    assert done.returncode == 2
    assert "several installed packages offer the check 'good': " in done.stderr


def test_annotations_may_be_evaluated(own: Path) -> None:
    package(own / "site", MODULE.replace("from __future__ import annotations\n", ""))
    write(own, asking("good", "{types: AWS::DynamoDB::Table}"))
    done = cfaudit("check", "stack.yaml", "--rules", "rules", "-f", "json", cwd=own, path=str(own / "site"))
    assert findings(done, "asking") == [("fail", "Orders"), ("fail", "Baskets")]


def test_nothing_is_looked_for_before_a_rule_names_it(own: Path) -> None:
    """A built-in name means the built-in check, and a run that needs no package imports none."""
    package(own / "site", "raise SystemExit('imported')")
    script = "import sys; from cfaudit.cli import main; sys.argv[0] = 'cfaudit'\ntry: main()\nexcept SystemExit: pass\n"
    script += "print('importlib.metadata' in sys.modules, 'cfaudit.proof' in sys.modules, file=sys.stderr)"
    for options in ([], ["--rules", "rules"]):
        done = subprocess.run(
            [sys.executable, "-c", script, "check", "stack.yaml", *options],
            cwd=own,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(own / "site")},
        )
        assert done.stderr.splitlines()[-1] == "False False"


def test_code_of_the_audited_repository_is_never_imported(own: Path) -> None:
    """Neither metadata nor modules where the command runs, nor beside the rules, are taken for installed."""
    for folder in (own, own / "rules"):
        package(folder)
        write(folder, {"yaml.py": "raise SystemExit('imported')", "typer.py": "raise SystemExit('imported')"})
    write(own, asking("good", "{types: AWS::DynamoDB::Table}"))
    done = cfaudit("check", "stack.yaml", "--rules", "rules", cwd=own)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no check 'good'" in done.stderr


# The page of the checks ----------------------------------------------------------------------------------------------


def test_the_page_of_the_checks_is_current() -> None:
    import checks_page

    path = ROOT / "docs" / "checks.md"
    held = path.read_text(encoding="utf-8")
    assert checks_page.page(held, CHECKS, load_rules(CHECKS)) == held
    for name in CHECKS:
        assert f"\n### `{name}`\n" in held
