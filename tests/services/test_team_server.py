"""A team's server: PostgreSQL, users and permissions, served artifacts; no password is printed or stored."""

import multiprocessing
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from pipelines.doctor.store import check_tracking_store
from sbert_prune.errors import TrackingError
from sbert_prune.tracking.runs import open_run
from sbert_prune.tracking.store import alone_in_database, connect
from tests import commands
from tests.commands import PRELOADED, Started
from tests.pipelines.beginning import begin
from tests.pipelines.conftest import Project
from tests.pipelines.faults import evaluate_while
from tests.services.team_server import PASSWORD, Postgres, TeamServer, as_admin, postgres, team_server
from tuning.settings import Aim
from tuning.study import DIGEST, RUN, STALE, open_study, stored_trials

pytestmark = pytest.mark.service

ANN = "Rumpel/stilz@Habsburg:99%25"
"""The password of ann, who trains; ben may only read."""
BEN = "Dornroeschen"
SECRETS = re.compile("Zwergzack|Drosselbart|Rumpel|Habsburg|Dornroeschen|Schneekoppe")
"""Words of all passwords, so that no way of writing them hides one."""


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(scope="module")
def server(database: Postgres, tmp_path_factory) -> Iterator[TeamServer]:
    with team_server(database, tmp_path_factory.mktemp("server")) as running:
        with as_admin(running) as client:
            client.create_user("ann", ANN)
            client.create_user("ben", BEN)
            client.grant_user_permission("ann", "experiment", "0", "EDIT")
        yield running


@pytest.fixture(scope="module")
def project(make_project, tmp_path_factory) -> Project:
    return make_project(tmp_path_factory.mktemp("project"))


@dataclass
class Ended:
    """A command that has ended, and what it said."""

    status: int
    said: str


def start(folder: Path, uri: str, *arguments: str, **environment: str) -> Started:
    """A command as a stranger gives it, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    settings = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_EXPERIMENT_NAME": "Default"} | environment
    return commands.start(folder, *arguments, without="MLFLOW_", **settings)


def call(folder: Path, uri: str, *arguments: str, **environment: str) -> Ended:
    command = start(folder, uri, *arguments, **environment)
    return Ended(command.end(), command.output)


def full(project: Project, *, layers: int = 1) -> tuple[str, ...]:
    data = (*project.given, "--sts-epochs", "1")
    return (
        "full",
        "--layers",
        str(layers),
        "--robustness",
        "0",
        "--precision",
        "float32",
        "--registered-model",
        "sbert-small",
        *data,
    )


@dataclass
class Made:
    """Ann's variant through the server, a reference written to PostgreSQL; their folders and the output."""

    by_server: Path
    directly: Path
    said: tuple[str, str]


@pytest.fixture(scope="module")
def made(server: TeamServer, database: Postgres, project: Project) -> Made:
    database.create("direct")
    by_server, directly = project.folder / "by_server", project.folder / "directly"
    processes = [
        start(by_server, server.address_for("ann", ANN), *full(project)),
        start(directly, database.uri("direct", driver="postgresql"), *full(project, layers=3)),
    ]
    ends = [command.end() for command in processes]
    said = tuple(command.output for command in processes)
    assert ends == [0, 0], said
    return Made(by_server, directly, said)


@pytest.fixture
def as_user(server: TeamServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that makes this process somebody, in an empty folder; gives the client."""

    def become(user: str, password: str) -> MlflowClient:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
        return MlflowClient(server.address)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(server.address)
    yield become
    mlflow.set_tracking_uri(None)


def test_who_may_train_registers_a_version_whose_artifacts_the_server_keeps(made: Made, server: TeamServer, as_user):
    client = as_user("ann", ANN)

    version = client.get_model_version("sbert-small", "2")
    (parent,) = client.search_runs(["0"], "tags.sbert_prune.step = 'full' and attributes.run_name LIKE 'full %'")

    assert "model     models:/sbert-small/2" in made.said[0]
    assert version.tags["sbert_prune.kept_layers"] == "0"
    assert (parent.info.status, parent.info.artifact_uri.split(":")[0]) == ("FINISHED", "mlflow-artifacts")
    assert list(server.folder.glob("artifacts/0/models/m-*/artifacts/model.sentence_transformer/pruning.json"))
    assert list(made.by_server.iterdir()) == []


def test_a_reader_loads_the_version_and_sees_the_runs_but_changes_nothing(
    made: Made, server: TeamServer, as_user, tmp_path
):
    client = as_user("ben", BEN)
    before = len(client.search_runs(["0"]))

    embedded = mlflow.pyfunc.load_model("models:/sbert-small/2").predict(["A dog runs."])
    uri = server.address_for("ben", BEN)
    promoted = call(tmp_path, uri, "promote", "--registered-model", "sbert-small")
    registered = call(
        tmp_path, uri, "register", "--model", "models:/sbert-small/2", "--registered-model", "sbert-small"
    )

    assert embedded.shape == (1, 32)
    assert before > 10
    assert promoted.status == registered.status == 2
    for refused in (promoted, registered):
        assert "ben may not do that (status 403 for mlflow-artifacts/artifacts)" in refused.said
        assert "Ask the server's administrator to give ben EDIT permission on experiment Default.\n" in refused.said
    assert len(client.search_runs(["0"])) == before
    assert [(found.version, found.aliases) for found in client.search_model_versions("name = 'sbert-small'")] == [
        ("2", []),
        ("1", []),
    ]


REFUSED = {
    "nobody": (
        {},
        "it requires a user name and a password (status 401). "
        "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to a user",
    ),
    "wrong": (
        {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "Rumpel"},
        "it does not accept ann with this password (status 401). "
        "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to a user",
    ),
    "reader": (
        {"MLFLOW_TRACKING_USERNAME": "ben", "MLFLOW_TRACKING_PASSWORD": BEN},
        "ben may not do that (status 403 for mlflow-artifacts/artifacts). "
        "Ask the server's administrator to give ben EDIT permission on experiment Default",
    ),
}


@pytest.mark.parametrize("who", REFUSED)
@pytest.mark.usefixtures("made")
def test_who_may_not_train_is_told_so_at_once_and_nothing_is_written(
    server: TeamServer, project, as_user, tmp_path, who
):
    named, told = REFUSED[who]
    client = as_user("ann", ANN)
    before = {run.info.run_id for run in client.search_runs(["0"])}

    done = call(tmp_path / "folder", server.address, *full(project), **named)

    assert done.status == 2
    *_, last = done.said.splitlines()
    assert last.startswith("Error: ")
    assert told in last
    assert not re.search("Traceback|optimizer step|API request", done.said)
    assert not SECRETS.search(done.said)
    assert {run.info.run_id for run in client.search_runs(["0"])} == before
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_permission_that_is_taken_away_meanwhile_stops_nothing_and_is_made_up_for_when_given_back(
    server: TeamServer, project: Project, as_user, tmp_path, monkeypatch
):
    def take_away() -> None:
        with as_admin(server) as admin:
            admin.revoke_user_permission("ann", "experiment", "0")

    client = as_user("ann", ANN)
    away = evaluate_while(take_away, project, monkeypatch)
    assert away.exit_code == 3, away.output
    (run,) = client.search_runs(
        ["0"], "attributes.run_name = 'evaluate'", order_by=["attributes.start_time DESC"], max_results=1
    )
    (kept,) = (tmp_path / ".sbert-prune" / "spool").glob("*.jsonl")
    spooled = kept.read_text()
    with as_admin(server) as admin:
        admin.grant_user_permission("ann", "experiment", "0", "EDIT")
    connect().outbox.deliver()
    after = client.get_run(run.info.run_id)

    assert "sts_test/spearman_cosine" in away.output
    assert "the tracking store does not accept data" in away.output
    assert (
        "(ann may not do that (status 403 for runs/log-batch). Ask the server's administrator to give ann EDIT"
        in away.output
    )
    assert re.search(
        r"Warning: \d+ entries not recorded yet: they are in .*, and the next command here delivers them\n$",
        away.output,
    )
    assert run.info.status == "RUNNING"
    assert (after.info.status, "sts_test/spearman_cosine" in after.data.metrics) == ("FINISHED", True)
    assert not SECRETS.search(away.output + spooled)
    assert not (tmp_path / ".sbert-prune").exists()


def test_full_works_in_postgresql_directly(made: Made, database: Postgres):
    client = MlflowClient(database.uri("direct"))

    assert {run.info.status for run in client.search_runs(["0"])} == {"FINISHED"}
    assert client.get_model_version("sbert-small", "1").tags["sbert_prune.kept_layers"] == "0-2"
    assert "store postgresql://***@127.0.0.1" in made.said[1]


def test_no_password_reaches_what_is_said_or_kept(made: Made, server: TeamServer, database: Postgres):
    places = (made.by_server, made.directly, server.folder / "artifacts")
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    dumps = [database.dump(name) for name in ("runs", "direct")]

    assert all("sbert_prune.kept_layers" in dump and "models:/m-" in dump for dump in dumps)
    assert any(path.name == "report.md" for path in files)
    assert not [path for path in files if SECRETS.search(path.read_bytes().decode("latin-1"))]
    assert not SECRETS.search("\n".join([*made.said, *dumps]))


def test_a_server_that_goes_down_meanwhile_is_told_of_without_a_password(
    server: TeamServer, as_user, tmp_path, monkeypatch, capfd
):
    as_user("", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address_for("ann", ANN))
    monkeypatch.setenv(
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"
    )  # for a new run, MLflow would go on asking for four minutes
    store = connect(notify=print)

    with open_run(store, "down", {}) as run:
        server.stop()
        run.log_metrics({"score": 0.5})
        run.log_text("all is well", "report.md")
        with pytest.raises(TrackingError) as refused, open_run(store, "child", {}, parent=run):
            pass
    rest = store.outbox.close()
    (kept,) = (tmp_path / ".sbert-prune" / "spool").glob("*.jsonl")
    spooled = kept.read_text()
    server.start()
    connect().outbox.deliver()

    assert rest == (3, 0)
    assert store.client.get_run(run.run_id).data.metrics == {"score": 0.5}
    said = "".join(capfd.readouterr())
    assert "entries are queued in" in said
    assert not SECRETS.search(said + spooled + str(refused.value))


WRONG_DATABASES = {
    "password": (
        lambda database: database.uri("direct", password="Drosselbart@x"),
        'password authentication failed for user "mlflow"',
    ),
    "name": (lambda database: database.uri("nowhere"), 'database "nowhere" does not exist'),
    "unescaped": (lambda database: database.uri("direct").replace("%40", "@"), "its address cannot be read"),
    "gone": (lambda database: database.uri("direct").replace(f":{database.port}/", ":9/"), "Connection refused"),
}


@pytest.mark.parametrize(("uri", "told"), WRONG_DATABASES.values(), ids=WRONG_DATABASES)
def test_a_database_that_does_not_let_us_in_is_told_at_once_without_a_password(
    database: Postgres, project, tmp_path, uri, told
):
    done = call(tmp_path / "folder", uri(database), *full(project))

    assert (done.status, told in done.said) == (2, True), done.said
    assert re.search(
        r"Error: The database postgresql\+psycopg2://\*\*\*@127\.0\.0\.1:\d+/\w+ cannot be opened: ", done.said
    )
    assert not re.search("Traceback|retried", done.said)
    assert not SECRETS.search(done.said)
    assert list((tmp_path / "folder").iterdir()) == []


def test_doctor_asks_the_server_and_the_database_as_commands_do(
    server: TeamServer, database: Postgres, as_user, monkeypatch
):
    as_user("", "")
    database.create("looked_at")
    looks = {
        server.address_for("ann", ANN): "ok",
        server.address_for("ann", "Rumpel"): "It does not accept this password of ann.",
        server.address.replace("//", "//ann:Rumpel/stilz@"): "its port cannot be read",
        database.uri("runs"): "use an experiment that has them elsewhere",  # its artifacts go through the server
        database.uri("looked_at"): "ok",
        database.uri("runs", password="Drosselbart"): "correct the address",
        database.uri("runs").replace("%40", "@"): "correct the address",
    }

    found = {}
    for uri in looks:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        found[uri] = check_tracking_store()

    assert [uri for uri, told in looks.items() if found[uri].state != "ok" and told not in found[uri].advice] == []
    assert [found[uri].state for uri in looks] == ["ok", "fail", "fail", "fail", "ok", "fail", "fail"]
    assert not SECRETS.search(str(list(found.values())))


def test_many_processes_may_begin_at_once_on_a_fresh_database(database: Postgres, tmp_path):
    uri, context = database.create("fresh"), multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    start = context.Barrier(8)
    folders = [
        tmp_path / str(number) for number in range(8)
    ]  # MLflow's own lock lies in the temporary folder, which machines do not share
    for folder in folders:
        folder.mkdir()

    given = [{"MLFLOW_EXPERIMENT_NAME": "of all", "TMPDIR": str(folder)} for folder in folders]
    processes = [context.Process(target=begin, args=(uri, start), kwargs=environment) for environment in given]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("of all")
    assert [process.exitcode for process in processes] == [0] * 8
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FINISHED"] * 8


def test_a_lock_on_a_database_that_is_not_released_names_its_owner(database: Postgres, monkeypatch):
    uri = database.create("locked")
    for timeout in ("_LOCK_TIMEOUT_S", "_FRESH_TIMEOUT_S"):
        monkeypatch.setattr(f"sbert_prune.tracking.store.{timeout}", 1)

    with (
        alone_in_database(uri),
        pytest.raises(TrackingError, match=r"is locked by sbert-prune, process \d+ on .*connected from 127") as refused,
        alone_in_database(uri),
    ):
        raise AssertionError("two hold one lock")

    assert not SECRETS.search(str(refused.value))
    with alone_in_database(uri):
        pass


def test_two_searches_on_one_study_share_its_trials_and_train_none_twice(
    database: Postgres, make_project, tmp_path, monkeypatch
):
    project = make_project(tmp_path)
    project.use(monkeypatch)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    database.create("study")
    storage = f"postgresql+psycopg2://mlflow@127.0.0.1:{database.port}/study"
    short = (
        "--sts-epochs",
        "1",
        "--nli-max-rows",
        "40",
        "--robustness",
        "0",
        "--precision",
        "float32",
        "--registered-model",
        "sbert-small",
    )
    space = (
        "--layers",
        "1..2",
        "--trials",
        "6",
        "--screening",
        "none",
        "--finalists",
        "1",
        "--space",
        "layers",
        "--sampler",
        "random",
    )

    both = [
        commands.start(tmp_path, "search", *project.given, *short, *space, "--storage", storage, module="tuning")
        for _ in range(2)
    ]
    ends = [command.end() for command in both]
    said = [command.output for command in both]

    assert ends == [0, 0], "\n".join(said)
    (name,) = [row[0] for row in database.ask("study", "SELECT study_name FROM studies")]
    trials = stored_trials(open_study(str(name), storage, Aim(), "random", 0))
    counted = [one for one in trials if one.counts]
    assert len(counted) == 6
    assert len({one.attribute(DIGEST) for one in counted}) == 6
    client = MlflowClient(project.uri)
    assert client.search_runs(["0"], "attributes.status = 'RUNNING'") == []
    runs = client.search_runs(["0"], "tags.sbert_prune.step = 'trial'")
    given_up = [one for one in trials if one.attribute(STALE)]  # both asked for the last one: it is never begun
    assert all(one.state.is_finished() for one in trials)
    assert all(one.attribute(RUN) is None for one in given_up)
    assert sorted(int(run.data.tags["sbert_prune.trial"]) for run in runs) == [
        one.number for one in trials if one not in given_up
    ]
    assert client.get_model_version_by_alias("sbert-small", "challenger")
    assert all(PASSWORD not in text for text in said)
