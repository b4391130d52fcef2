"""usage: outputs.py FLOE CONFIGURATIONS UNITS JOB_UNITS JOB_TEXTS
Shows what the modules make to those who read it: each configuration to the agent, each unit to systemd, each job that is written in Nix to floe. The files
are JSON, by name of the machine, and the last one by name of the job.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# Of ten, less is better. A server is shut in. A client has root's work to do, and whatever it is forbidden its tasks are forbidden, too: what systemd
# counts for it is little more than its capabilities. What brings jobs to the cluster is shut in, too.
MOST_EXPOSED = {"server": 2.0, "client": 9.0, "jobs": 2.0}

problems = []


def run(*command):
    return subprocess.run([str(part) for part in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def check_configurations(floe, configurations, folder):
    file = folder / "agent.json"
    for name, configuration in configurations.items():
        file.write_text(json.dumps(configuration))
        answer = run(floe, "config", "validate", file)
        if answer.returncode != 0:
            problems.append(f"the agent refuses the configuration of {name}: {answer.stdout}")
    # One that it must refuse, so that it is known to look.
    file.write_text(json.dumps({**configurations[name], "datacentre": "x"}))
    if run(floe, "config", "validate", file).returncode == 0:
        problems.append("the agent takes a configuration that is wrong")
    return f"configurations that the agent takes: {len(configurations)}"


def verify(file):
    """What systemd does not understand. It says so and succeeds, so every word counts."""
    return run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", file).stdout.strip()


def check_units(units, folder):
    file = folder / "floe.service"
    scores = {}
    for name, text in units.items():
        # systemd looks whether the program is there.
        text, changed = re.subn(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text)
        if changed != 1:
            problems.append(f"the unit of {name} has {changed} ExecStart=")
        file.write_text(text)
        if said := verify(file):
            problems.append(f"systemd on the unit of {name}: {said}")
        kind = "jobs" if " job reconcile " in text else "server" if "\nUser=floe\n" in text else "client"
        answer = run("systemd-analyze", "security", "--offline=true", file).stdout
        score = re.search(r"Overall exposure level for floe\.service: ([0-9.]+)", answer)
        scores.setdefault(kind, set()).add(score[1] if score else "unknown")
        if not score or float(score[1]) > MOST_EXPOSED[kind]:
            problems.append(f"the unit of {name} has exposure {score and score[1]}, and at most {MOST_EXPOSED[kind]} is allowed")
    file.write_text(text.replace("[Service]", "[Service]\nKillMood=process"))
    if not verify(file):
        problems.append("systemd says nothing of a unit that is wrong")
    shown = ", ".join(f"{kind} {'/'.join(sorted(found))}" for kind, found in sorted(scores.items()))
    return f"units that systemd takes: {len(units)}; exposure of 10: {shown}"


def check_jobs(floe, texts, folder):
    for name, text in texts.items():
        file = folder / f"{name}.json"
        file.write_text(text)
        answer = run(floe, "job", "validate", file)
        if answer.returncode != 0:
            problems.append(f"floe refuses the declared job {name}: {answer.stdout}")
    if not texts:
        problems.append("no job is declared in Nix")
    return f"jobs written in Nix that floe takes: {len(texts)}"


def main(floe, configurations, units, job_units, job_texts):
    # Most machines have the same unit.
    units = {text: name for name, text in json.loads(Path(units).read_text()).items()}
    units |= {text: f"{name} (jobs)" for name, text in json.loads(Path(job_units).read_text()).items()}
    with tempfile.TemporaryDirectory() as folder:
        said = [
            check_configurations(floe, json.loads(Path(configurations).read_text()), Path(folder)),
            check_units({name: text for text, name in units.items()}, Path(folder)),
            check_jobs(floe, json.loads(Path(job_texts).read_text()), Path(folder)),
        ]
    for line in said:
        print(f"  {line}", file=sys.stderr)
    for problem in problems:
        print(f"nix/check: {problem}", file=sys.stderr)
    sys.exit(bool(problems))


main(*sys.argv[1:])
