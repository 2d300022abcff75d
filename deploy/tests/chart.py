"""Renders the chart with its sets of values, and puts its containers on this machine."""

import copy
import functools
import pathlib
import re

import helm_python
import yaml

import kit

CHART = kit.DEPLOY / "helm/keysweep"
SETS = kit.DEPLOY / "tests/chart"
NAMES = sorted(path.name.removesuffix(".values.yaml") for path in SETS.glob("*.values.yaml"))


@functools.cache
def chart():
    return helm_python.Chart.load(str(CHART))


def values(name):
    """The values of a set."""
    return yaml.safe_load((SETS / f"{name}.values.yaml").read_text())


def render(of, **config):
    """The documents that the chart makes of values, by kind and name."""
    rendered = chart().render(values=of, name="keysweep", namespace="cache", **config)
    texts = [text for path, text in sorted(rendered.items()) if path.endswith(".yaml")]
    documents = [document for text in texts for document in yaml.safe_load_all(text) if document]
    return {f"{document['kind']}/{document['metadata']['name']}": document for document in documents}


def pods(documents):
    """The templates of pods, by the document that has them."""
    found = {}
    for name, document in documents.items():
        spec = document.get("spec", {})
        if document["kind"] == "Pod":
            found[name] = document
        elif document["kind"] == "CronJob":
            found[name] = spec["jobTemplate"]["spec"]["template"]
        elif "template" in spec:
            found[name] = spec["template"]
    return found


def at_home(of, redis):
    """Values with the address of a Redis of this machine."""
    of = copy.deepcopy(of)
    config = of.get("config") or chart().values["config"]
    of["config"] = re.sub(r"urls = \[.*\]", f'urls = ["redis://127.0.0.1:{redis}"]', config)
    return of


class Container:
    """The container of a pod, with its volumes below a folder of this machine."""

    def __init__(self, folder, documents, name, secrets):
        self.folder = pathlib.Path(folder, name.replace("/", "-"))
        self.folder.mkdir()
        spec = pods(documents)[name]["spec"]
        (self.spec,) = spec["containers"]
        self.paths = {}
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in self.spec["volumeMounts"]:
            # A claim of a StatefulSet is no volume of the pod.
            volume = volumes.get(mount["name"], {})
            place = self.folder / mount["name"]
            place.mkdir()
            self.paths[mount["mountPath"]] = str(place)
            if config := volume.get("configMap"):
                for file, text in documents[f"ConfigMap/{config['name']}"]["data"].items():
                    (place / file).write_text(text)
            if secret := volume.get("secret"):
                for file, text in secrets[secret["secretName"]].items():
                    (place / file).write_text(text)

    def local(self, text):
        """A text with the folders of this machine."""
        for path in sorted(self.paths, key=len, reverse=True):
            if text.startswith(path + "/") or text == path:
                return text.replace(path, self.paths[path], 1)
        return text

    def args(self, nats=None):
        words = [re.sub(r"nats://[\w.]+:4222", f"nats://127.0.0.1:{nats}", word) for word in self.spec["args"]]
        return [self.local(word) for word in words]

    def env(self, **replaced):
        """The environment; `replaced` has values by the text that stands for them."""
        env = {variable["name"]: self.local(variable["value"]) for variable in self.spec["env"]}
        return {name: replaced.get(value, value) for name, value in env.items()}
