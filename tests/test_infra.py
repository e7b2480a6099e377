"""The files of infra/ hold what they promise: pinned, not root, probed, sized, no secret in any, and the names that the code reads."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from finflow.flows.servers import applications as stack_applications
from finflow.flows.servers import database as stack_database
from tests.support import REPOSITORY, Finflow

INFRA = REPOSITORY / "infra"
COMPOSE = INFRA / "compose" / "compose.yaml"
DOCKERFILE = INFRA / "images" / "Dockerfile"
MANIFESTS = sorted(path for path in (INFRA / "kubernetes").rglob("*.yaml") if path.name != "kustomization.yaml")
SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|AUTH_STRING|TOKEN")
FROM_FILE = {"POSTGRES_PASSWORD_FILE", "MINIO_ROOT_USER_FILE", "MINIO_ROOT_PASSWORD_FILE"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text(encoding="utf-8")))


def manifests(kind: str) -> list[dict[str, Any]]:
    found = [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
    return [one for one in found if one["kind"] == kind]


def pods() -> dict[str, dict[str, Any]]:
    """The pod of every Deployment, Job and CronJob, by its name."""
    found = {one["metadata"]["name"]: one["spec"]["template"]["spec"] for kind in ("Deployment", "Job") for one in manifests(kind)}
    crons = {one["metadata"]["name"]: one["spec"]["jobTemplate"]["spec"]["template"]["spec"] for one in manifests("CronJob")}
    return {**found, **crons}


def release() -> str:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    match = re.search(r'^version = "(.+)"', text, re.MULTILINE)
    assert match
    return match[1]


def test_there_is_what_is_promised(compose: dict[str, Any]) -> None:
    assert {"postgres", "store", "prefect", "mlflow", "worker"} <= set(compose["services"])
    assert {"prefect", "mlflow", "worker", "register", "train-gpu"} == set(pods())


def test_every_image_is_pinned(compose: dict[str, Any]) -> None:
    images = [service["image"] for service in compose["services"].values()]
    for name in ("base", "gpu"):
        values = yaml.safe_load((INFRA / "kubernetes" / name / "kustomization.yaml").read_text(encoding="utf-8"))
        images += [f"{image['newName']}:{image['newTag']}" for image in values["images"]]
        named = {image["name"] for image in values["images"]}
        assert named == {"finflow"} if name == "base" else {"finflow-gpu"}
    assert {container["image"] for pod in pods().values() for container in pod["containers"]} == {"finflow", "finflow-gpu"}
    for image in images:
        tag = image.rpartition(":")[2]
        assert re.search(r"\d+\.\d+|RELEASE\.\d{4}-\d\d-\d\d", tag), image
        assert image.rpartition(":")[0].rpartition("/")[2] != "finflow" or tag in (f"{release()}-cpu", f"{release()}-cuda"), image
    base = re.search(r"^ARG PYTHON=(3\.11\.\d+-slim-\w+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert base
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE)) == {"python:${PYTHON}"}


def test_the_image_is_not_root_and_installs_the_lock() -> None:
    lines = DOCKERFILE.read_text(encoding="utf-8").splitlines()
    users = [line for line in lines if line.startswith("USER ")]
    assert users == ["USER 10001:10001"]
    assert not [line for line in lines[lines.index(users[0]) :] if line.startswith(("RUN", "COPY", "ADD"))]
    text = " ".join(lines)
    assert "pip install --no-deps -r others.lock -r object-store.lock" in text
    assert "https://download.pytorch.org/whl/${TORCH}" in text
    for line in lines:
        if line.startswith("COPY") and "--from" not in line:
            for source in [part for part in line.split()[1:-1] if not part.startswith("--")]:
                assert list(REPOSITORY.glob(source)), f"{source} is not there"
    ours = {line.partition("==")[0] for line in (REPOSITORY / "requirements.lock").read_text().splitlines() if "==" in line}
    added = [line for line in (INFRA / "images" / "object-store.lock").read_text().splitlines() if line and not line.startswith("#")]
    assert added
    for line in added:
        assert re.fullmatch(r"[a-z0-9]+==[\d.]+", line)
        assert line.partition("==")[0] not in ours
    assert any(line.startswith("torch==") for line in (REPOSITORY / "requirements.lock").read_text().splitlines())


def test_nothing_that_holds_state_or_secrets_is_sent_to_the_builder() -> None:
    rules = [line for line in DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    assert not [rule for rule in rules if re.search(r"secret|\.git|\.finflow|tests|compose", rule)]


def test_services_are_not_root_have_checks_sizes_and_no_more_rights_than_they_need(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        root = [key for key in ("user",) if str(service.get(key, "")).startswith("0")]
        assert (root == ["user"]) == (name == "store-owner"), name
        assert service["cap_drop"] == ["ALL"], name
        assert service.get("cap_add", []) == (["CHOWN"] if name == "store-owner" else []), name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name
        assert {"cpus", "memory"} == set(service["deploy"]["resources"]["limits"]) == set(service["deploy"]["resources"]["reservations"])
        once = service["restart"] == "on-failure"
        assert once != bool(service.get("healthcheck")), f"{name} runs once, or is watched"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} is reached from other machines"
        for other in service.get("depends_on", {}):
            assert other in compose["services"]


def test_compose_holds_no_secret(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for key, value in service["environment"].items() if "environment" in service else ():
            assert key in FROM_FILE or not SECRET.search(key), f"{name}: {key}"
            assert not re.search(r"//[^/@\s]*:[^/@\s]*@", str(value)), f"{name}: {key} holds a password"
        for secret in service.get("secrets", []):
            assert secret in compose["secrets"], f"{name}: {secret}"
    for name, secret in compose["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
    assert (INFRA / "compose" / ".gitignore").read_text().split() == ["secrets/"]
    entry = (INFRA / "images" / "entrypoint.sh").read_text()
    assert "/run/secrets/*" in entry
    assert 'exec "$@"' in entry


def test_secrets_are_made_once_random_and_for_their_owner_alone(tmp_path: Path, compose: dict[str, Any]) -> None:
    script = tmp_path / "make-secrets.sh"
    shutil.copy(INFRA / "compose" / "make-secrets.sh", script)

    def made() -> dict[str, str]:
        subprocess.run(["sh", str(script)], check=True)
        return {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}

    first = made()
    assert set(first) == set(compose["secrets"])
    assert made() == first
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    for name in ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"):
        assert len(first[name]) >= 32
        assert first[name].isalnum()
    assert len({first["PGPASSWORD"], first["AWS_SECRET_ACCESS_KEY"], first["MLFLOW_AUTH_ADMIN_PASSWORD"]}) == 3
    assert first["PREFECT_API_AUTH_STRING"] == first["PREFECT_SERVER_API_AUTH_STRING"]
    assert first["MLFLOW_TRACKING_PASSWORD"] == first["MLFLOW_AUTH_ADMIN_PASSWORD"]


def test_the_entrypoint_turns_mounted_secrets_into_variables(tmp_path: Path) -> None:
    (tmp_path / "PGPASSWORD").write_text("a b$c'd\"")
    (tmp_path / "kubernetes.io").mkdir()
    script = (INFRA / "images" / "entrypoint.sh").read_text().replace("/run/secrets", str(tmp_path))
    (tmp_path.parent / "entry.sh").write_text(script)
    done = subprocess.run(["sh", str(tmp_path.parent / "entry.sh"), "printenv", "PGPASSWORD"], capture_output=True, text=True, check=True)
    assert done.stdout == "a b$c'd\"\n"


def test_pods_are_not_root_have_sizes_and_no_secret() -> None:
    for name, pod in pods().items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
        mounted = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            inner = container["securityContext"]
            assert (inner["allowPrivilegeEscalation"], inner["readOnlyRootFilesystem"]) == (False, True)
            assert inner["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            assert {mount["name"] for mount in container["volumeMounts"]} <= mounted
            for variable in container["env"]:
                if SECRET.search(variable["name"]):
                    assert set(variable["valueFrom"]) == {"secretKeyRef"}, variable["name"]
                else:
                    assert not re.search(r"//[^/@\s]*:[^/@\s]*@", variable["value"])
    assert not manifests("Secret")


def test_deployments_are_probed_and_jobs_end() -> None:
    for one in manifests("Deployment"):
        (container,) = one["spec"]["template"]["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in ports, (one["metadata"]["name"], probe)
        assert one["spec"]["selector"]["matchLabels"] == one["spec"]["template"]["metadata"]["labels"]
    for job in [one["spec"] for one in manifests("Job")] + [one["spec"]["jobTemplate"]["spec"] for one in manifests("CronJob")]:
        assert job["activeDeadlineSeconds"] > 0
        assert job["backoffLimit"] >= 0
    (cron,) = manifests("CronJob")
    (container,) = pods()["train-gpu"]["containers"]
    assert cron["spec"]["suspend"] is True
    assert container["resources"]["limits"]["nvidia.com/gpu"] == container["resources"]["requests"]["nvidia.com/gpu"] == 1
    assert container["args"][-2:] == ["--accelerator", "gpu"]


def test_names_and_ports_are_those_that_the_code_reads(compose: dict[str, Any]) -> None:
    services = compose["services"]
    sources = "\n".join(
        path.read_text(encoding="utf-8") for package in ("flows", "pipelines") for path in (REPOSITORY / package).rglob("*.py")
    )
    variables = {key for service in services.values() for key in service.get("environment", {})}
    variables |= {variable["name"] for pod in pods().values() for container in pod["containers"] for variable in container["env"]}
    for variable in variables:
        if variable.startswith("FINFLOW_"):
            assert f'"{variable}"' in sources, f"{variable} is read nowhere"
    for names in (commands(services), {name: pod["containers"][0]["args"] for name, pod in pods().items()}):
        for name in ("prefect", "mlflow"):
            factory = next(part for part in names[name] if part.startswith("finflow.flows."))
            assert callable(getattr(stack_applications, factory.partition(":")[2]))
        assert names["prefect"][names["prefect"].index("--port") + 1] == "4200"
        assert names["mlflow"][names["mlflow"].index("--port") + 1] == "5000"
        assert names["worker"][:3] == ["python", "-m", "finflow.flows.servers.worker"], (
            "which supersedes what was missed before it asks for runs"
        )
        assert names["register"] == ["python", "-m", "finflow.flows.servers.register"]
    assert services["worker"]["environment"]["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert services["worker"]["environment"]["PREFECT_API_URL"] == "http://prefect:4200/api"
    sql = (INFRA / "compose" / "schemas.sql").read_text()
    schemas = {stack_database.PREFECT_SCHEMA, stack_database.MLFLOW_SCHEMA, stack_database.MLFLOW_USERS_SCHEMA}
    assert set(re.findall(r"CREATE SCHEMA IF NOT EXISTS (\w+);", sql)) == schemas
    users = (INFRA / "compose" / "mlflow-users.ini").read_text()
    assert (INFRA / "kubernetes" / "base" / "mlflow-users.ini").read_text() == users
    assert stack_database.MLFLOW_USERS_SCHEMA in users
    assert (
        stack_database.PREFECT_SCHEMA in services["prefect"]["environment"]["PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_SEARCH_PATH"]
    )
    assert stack_database.MLFLOW_SCHEMA in services["mlflow"]["environment"]["MLFLOW_BACKEND_STORE_URI"]


def commands(services: dict[str, Any]) -> dict[str, list[str]]:
    return {name: service["command"] for name, service in services.items() if "command" in service}


def test_kustomize_builds_both() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    for name, expected in (("base", 13), ("gpu", 14)):
        built = subprocess.run([kubectl, "kustomize", str(INFRA / "kubernetes" / name)], capture_output=True, text=True, check=True).stdout
        found = list(yaml.safe_load_all(built))
        assert len(found) == expected - 1
        assert all(one["metadata"].get("namespace", "finflow") == "finflow" for one in found)
        assert "image: finflow" not in built


def test_compose_is_valid() -> None:
    tool = shutil.which("docker-compose")
    if tool is None:
        pytest.skip("docker-compose is not installed")
    # Debian's is older than the key `name`.
    text = re.sub(r"^name: .*\n", "", COMPOSE.read_text(encoding="utf-8"))
    text = text.replace("\nname: finflow\n", "\n")
    done = subprocess.run(
        [tool, "-f", "-", "--project-directory", str(COMPOSE.parent), "config"], input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_dockerfile_is_clean() -> None:
    tool = shutil.which("hadolint")
    if tool is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([tool, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_register_makes_what_a_worker_needs_and_may_run_again(finflow: Finflow) -> None:
    for _ in range(2):
        done = finflow.run(program=("-m", "finflow.flows.servers.register"))
        assert done.returncode == 0, done.stderr[-3000:]
        assert re.fullmatch(r"\d+ deployments, \d+ automations\n", done.stdout)
    done = finflow.run("nowhere.yaml", program=("-m", "finflow.flows.servers.register"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("nowhere.yaml: there is no such file.\n")
